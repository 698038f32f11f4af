"""What people write, in three languages. `{ref}` stands for an order, parcel, account or serial number."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = ("es", "ru", "en")
CATEGORIES: Final = ("orders", "deliveries", "accounts", "devices", "payments")

FIELDS: Final = {
    "orders": "order_number",
    "deliveries": "parcel_number",
    "accounts": "account_number",
    "devices": "serial_number",
    "payments": "invoice_number",
}
"""The custom field in which the desk keeps the reference of a category."""

Request = tuple[str, str]
"""Subject and description."""

REQUESTS: Final[dict[str, dict[str, tuple[Request, ...]]]] = {
    "es": {
        "orders": (
            ("Pedido {ref} incompleto", "Falta un artículo en el pedido {ref}. ¿Cuándo llega?"),
            ("Cambiar la talla del pedido {ref}", "Elegí mal la talla. ¿Aún se puede cambiar?"),
            ("Quiero anular el pedido {ref}", "Ya no lo necesito y todavía no ha salido."),
        ),
        "deliveries": (
            ("El paquete {ref} no se mueve", "El seguimiento lleva tres días sin cambios."),
            (
                "Entregado, pero no lo tengo",
                "El paquete {ref} figura como entregado. Aquí no está.",
            ),
            ("Cambio de dirección de entrega", "Por favor, lleven {ref} a la oficina."),
        ),
        "accounts": (
            ("No puedo entrar en mi cuenta", "La cuenta {ref} dice que está bloqueada."),
            (
                "No llega el código de acceso",
                "Pido el código para {ref} y no llega ningún mensaje.",
            ),
            ("Dar de baja la cuenta {ref}", "Quiero cerrar la cuenta y recibir mis datos."),
        ),
        "devices": (
            ("El router {ref} se reinicia solo", "Cada diez minutos se apaga la luz y vuelve."),
            ("La pantalla llegó rota", "Al abrir la caja del equipo {ref} ya tenía una grieta."),
            ("No enciende tras actualizar", "El equipo {ref} se quedó en negro al actualizar."),
        ),
        "payments": (
            ("Cobro duplicado", "La factura {ref} aparece dos veces en mi banco."),
            ("Necesito la factura {ref}", "La contabilidad me la pide con el NIF de la empresa."),
            ("El pago con tarjeta falla", "La factura {ref} da error al confirmar en el banco."),
        ),
    },
    "ru": {
        "orders": (
            ("Заказ {ref} пришёл не полностью", "В заказе {ref} не хватает одного товара."),
            ("Изменить размер в заказе {ref}", "Ошибся с размером. Можно ещё поменять?"),
            ("Отмените заказ {ref}", "Он ещё не отправлен, и больше мне не нужен."),
        ),
        "deliveries": (
            ("Посылка {ref} стоит на месте", "Третий день статус отслеживания не меняется."),
            ("Отмечено «доставлено», посылки нет", "Посылку {ref} никто мне не передавал."),
            ("Другой адрес доставки", "Пожалуйста, привезите {ref} в офис, а не домой."),
        ),
        "accounts": (
            ("Не могу войти в аккаунт", "Аккаунт {ref} пишет, что вход заблокирован."),
            ("Не приходит код", "Запрашиваю код для {ref}, сообщений нет."),
            ("Удалить аккаунт {ref}", "Хочу закрыть аккаунт и получить свои данные."),
        ),
        "devices": (
            ("Роутер {ref} сам перезагружается", "Каждые десять минут гаснет и включается снова."),
            ("Экран пришёл разбитым", "На устройстве {ref} трещина, упаковка была целой."),
            ("После обновления не включается", "Устройство {ref} погасло при обновлении."),
        ),
        "payments": (
            ("Деньги списали дважды", "Счёт {ref} оплачен один раз, а списаний два."),
            ("Нужен счёт {ref}", "Бухгалтерия просит его с реквизитами компании."),
            ("Оплата картой не проходит", "По счёту {ref} ошибка при подтверждении."),
        ),
    },
    "en": {
        "orders": (
            ("Order {ref} is incomplete", "One item of order {ref} is missing. When will it come?"),
            ("Wrong size in order {ref}", "I picked the wrong size. Can it still be changed?"),
            ("Please cancel order {ref}", "I do not need it any more and it has not left yet."),
        ),
        "deliveries": (
            ("Parcel {ref} does not move", "The tracking page has shown the same for three days."),
            (
                "Marked as delivered, but not here",
                "Parcel {ref} is said to be delivered. It is not.",
            ),
            ("Another delivery address", "Please take {ref} to the office instead of my home."),
        ),
        "accounts": (
            ("I cannot sign in", "Account {ref} says that it is locked."),
            ("The sign-in code never comes", "I ask for a code for {ref} and no message arrives."),
            ("Close account {ref}", "I want to leave, and to have a copy of my data."),
        ),
        "devices": (
            (
                "Router {ref} restarts by itself",
                "Every ten minutes the light goes out and returns.",
            ),
            ("The screen arrived broken", "Device {ref} had a crack when I opened the box."),
            ("Dead after the update", "Device {ref} went black in the middle of an update."),
        ),
        "payments": (
            ("Charged twice", "Invoice {ref} shows up two times on my card."),
            ("I need invoice {ref}", "Our accountants want it with the company's tax number."),
            ("Card payment fails", "Invoice {ref}: an error appears when the bank confirms."),
        ),
    },
}

QUESTION: Final = {
    "es": "Gracias por escribirnos. ¿Nos puede enviar una foto o el mensaje exacto que ve?",
    "ru": "Спасибо за обращение. Пришлите, пожалуйста, фото или точный текст сообщения.",
    "en": "Thank you for writing. Could you send a photo, or the exact message that you see?",
}
ANSWER: Final = {
    "es": "Aquí tiene la foto. También he probado a empezar de nuevo, sin cambios.",
    "ru": "Вот фото. Я ещё раз попробовал с начала, ничего не изменилось.",
    "en": "Here is the photo. I have also tried again from the start; nothing changed.",
}
SOLUTION: Final = {
    "es": "Ya está arreglado por nuestra parte. Si vuelve a pasar, responda a este mensaje.",
    "ru": "Мы всё исправили. Если это повторится, просто ответьте на это сообщение.",
    "en": "This is fixed on our side. If it happens again, just answer this message.",
}
PATIENCE: Final = {
    "es": "Lo estamos comprobando con otro departamento y le escribimos hoy mismo.",
    "ru": "Мы проверяем это с другим отделом и напишем вам сегодня.",
    "en": "We are checking this with another department and will write to you today.",
}
STILL: Final = {
    "es": "Sigue igual que antes. ¿Pueden mirarlo otra vez?",
    "ru": "Всё по-прежнему. Посмотрите, пожалуйста, ещё раз.",
    "en": "It is still the same as before. Could you look again?",
}
NEWS: Final = {
    "es": "¿Hay novedades?",
    "ru": "Есть новости?",
    "en": "Is there any news?",
}
PRAISE: Final = {"es": "Muy rápido, gracias.", "ru": "Быстро, спасибо.", "en": "Quick, thank you."}
BLAME: Final = {
    "es": "Tardó demasiado.",
    "ru": "Слишком долго.",
    "en": "It took too long.",
}

# Notes are the desk's own; it keeps them in one language.
NOTE: Final = "Checked {field} {ref}: the record agrees with what the requester says."
NOTE_ESCALATE: Final = "Tried the usual steps with {field} {ref}. This needs a specialist."
NOTE_MOVED: Final = "Filed under the wrong category: this is about {category}."
NOTE_SUPPLIER: Final = "The other department has answered; this can go on."
NOTE_HOME: Final = "End of shift: back to the queue, nothing promised that is still due."
NOTE_LEAD: Final = "Taken back: {why}."
