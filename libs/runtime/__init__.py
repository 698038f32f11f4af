"""What every service shares: time, stores, outbox, relay, consumer, Kafka, HTTP."""
