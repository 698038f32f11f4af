/* A key figure that is patched in place: neither the keyboard's place nor an open explanation is lost. */
export default {
  props: { tile: Object },
  template: `
    <div>
      <p v-if="tile.refused" class="sub">{{ tile.refused }}</p>
      <template v-else-if="tile.name">
        <div class="label"><span>{{ tile.title }}</span>
          <details class="pop about"><summary :aria-label="tile.what"><span aria-hidden="true">?</span></summary>
            <div class="sheet">{{ tile.formula }} <span v-if="tile.edges">{{ tile.edges }}</span></div></details></div>
        <div class="row" :data-figure="tile.name">
          <div class="value"><a v-if="tile.href" :href="tile.href">{{ tile.value }}</a><span v-else>{{ tile.value }}</span></div>
          <svg v-if="tile.line" class="course" viewBox="0 0 120 30" preserveAspectRatio="none" aria-hidden="true"><path :d="tile.line" /></svg>
        </div>
        <div class="sub">
          <span v-if="tile.change" :class="['change', tile.change.mood]" :title="tile.change.before">{{ tile.change.text }}</span>
          <span v-for="pair in tile.beside" :key="pair[0]" class="pair">{{ pair[0] }} <b>{{ pair[1] }}</b></span>
          <span v-if="tile.note" class="pair">{{ tile.note }}</span>
        </div>
      </template>
    </div>`,
};
