/* A table whose rows are patched in place: what has the keyboard keeps it when figures change.
   A row is {id, attrs, cells}; a cell {class, parts, head}; a part is text, a link, a list or a bar. */
export default {
  props: { label: String, columns: Array, rows: Array },
  template: `
    <table :aria-label="label">
      <thead><tr><th v-for="(name, place) in columns" :key="place" scope="col"
        :class="rows[0]?.cells[place]?.class">{{ name }}</th></tr></thead>
      <tbody>
        <tr v-for="row in rows" :key="row.id" v-bind="row.attrs">
          <component :is="cell.head ? 'th' : 'td'" v-for="(cell, place) in row.cells" :key="place"
            :scope="cell.head ? 'row' : null" :data-label="columns[place]" :class="cell.class">
            <template v-for="(part, number) in cell.parts" :key="number">
              <a v-if="part.href" :href="part.href" :aria-label="part.label" :class="part.class">{{ part.text }}</a>
              <ul v-else-if="part.items"><li v-for="(item, n) in part.items" :key="n">{{ item }}</li></ul>
              <span v-else-if="part.share !== undefined" class="load" :role="part.label ? 'img' : null"
                :aria-label="part.label || null" :aria-hidden="part.label ? null : 'true'"><i :class="part.class" :style="{width: part.share + '%'}"></i></span>
              <span v-else :class="part.class" :dir="part.dir">{{ part.text }}</span>
            </template>
          </component>
        </tr>
      </tbody>
    </table>`,
};
