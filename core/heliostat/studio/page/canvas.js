// What the map and the timeline have in common: many small things on one canvas, one of which is pointed at or gone to
// by keyboard. The server is asked for what its tip is to say. Things have numbers, from `first` on. Who extends this
// has a `name`, in `sought` the states that keys go to, and the methods
//   layOut()        draw everything, and `frame` the thing that the keyboard is at
//   count()         of things
//   state(number)   of a thing
//   edges(number)   left, right, top and bottom of a thing
//   at(event)       the number of what is pointed at, or -1
//   beside(key)     the number of what an arrow key leads to
export function colour(name) {
  return getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();
}

// Says that something failed, without colours.
export function cross(context, x, y, side) {
  const inset = side * 0.3;
  context.lineWidth = Math.max(1.5, side / 12);
  context.beginPath();
  context.moveTo(x + inset, y + inset);
  context.lineTo(x + side - inset, y + side - inset);
  context.moveTo(x + side - inset, y + inset);
  context.lineTo(x + inset, y + side - inset);
  context.stroke();
}

export default {
  template: `
    <div class="canvas">
      <canvas ref="canvas" tabindex="0" role="application" :aria-label="label" :aria-describedby="$options.name + '-said'"
        @mousemove="point" @mouseleave="leave" @click="click" @keydown="key" @focus="focused" @blur="leave"></canvas>
      <div class="cursor" v-if="box" :style="box"></div>
      <div class="tip" v-if="tip" :style="place">{{ tip }}</div>
      <div class="unseen" :id="$options.name + '-said'" aria-live="polite">{{ said }}</div>
    </div>`,
  props: { label: String },
  emits: ["ready", "ask", "open"],
  data: () => ({ tip: "", said: "", place: {}, box: null }),
  watch: {
    "$q.dark.isActive"() {
      this.layOut();
    },
  },
  created() {
    this.first = 0;
    this.cursor = 0; // what the keyboard is at
    this.asked = -1; // whose tip is wanted
  },
  mounted() {
    this.context = this.$refs.canvas.getContext("2d");
    this.sizes = new ResizeObserver(() => this.layOut());
    this.sizes.observe(this.$el);
    this.$emit("ready");
  },
  beforeUnmount() {
    this.sizes.disconnect();
    clearTimeout(this.soon);
  },
  methods: {
    // An empty canvas, in the page's pixels.
    clear(width, height) {
      const canvas = this.$refs.canvas, scale = window.devicePixelRatio || 1;
      const across = Math.round(width * scale), down = Math.round(height * scale);
      if (canvas.width !== across || canvas.height !== down) {
        canvas.width = across;
        canvas.height = down;
        canvas.style.height = `${height}px`;
      }
      this.context.setTransform(scale, 0, 0, scale, 0, 0);
      this.context.clearRect(0, 0, width, height);
    },
    within(number) {
      return Math.max(this.first, Math.min(this.first + this.count() - 1, number));
    },
    tell(number, text) {
      if (number !== this.asked) return;
      this.tip = text;
      if (this.box) this.said = text;
    },
    ask(number) {
      clearTimeout(this.soon);
      this.asked = number;
      this.soon = setTimeout(() => this.$emit("ask", number), 50);
    },
    // When all is new. The keyboard may have been here before there was anything.
    renew() {
      this.cursor = this.within(this.cursor);
      this.layOut();
      if (this.asked < 0) this.focused();
      else this.ask(this.asked);
    },
    // The tip is below what it tells of, and within the width.
    lean({ left, right, bottom }) {
      const width = this.$el.clientWidth, top = `${bottom + 10}px`;
      this.place = left > width / 2 ? { right: `${width - right}px`, top } : { left: `${left}px`, top };
    },
    // Where the keyboard is, once more when things have moved.
    frame() {
      if (!this.box) return;
      const { left, right, top, bottom } = this.edges(this.cursor);
      this.box = {
        left: `${left - 3}px`, top: `${top - 3}px`, width: `${right - left + 6}px`, height: `${bottom - top + 6}px`,
      };
      if (this.asked === this.cursor) this.lean({ left, right, bottom });
    },
    point(event) {
      const number = this.at(event);
      if (number === this.asked) return;
      if (number < 0) return this.leave();
      this.tip = "";
      this.ask(number);
      this.lean({ left: event.offsetX, right: event.offsetX, bottom: this.edges(number).bottom });
    },
    leave() {
      clearTimeout(this.soon);
      this.asked = -1;
      this.tip = "";
      if (document.activeElement !== this.$refs.canvas) this.box = null;
    },
    click(event) {
      const number = this.at(event);
      if (number < 0) return;
      this.cursor = number;
      this.$emit("open", number);
    },
    focused() {
      if (this.$refs.canvas.matches(":focus-visible")) this.go(this.cursor);
    },
    go(number) {
      if (!this.count()) return;
      this.cursor = this.within(number);
      this.box = {};
      this.ask(this.cursor);
      this.frame();
    },
    seek(state) {
      const count = this.count();
      for (let step = 1; step <= count; step++) {
        const number = this.first + ((this.cursor - this.first + step) % count);
        if (this.state(number) === state) return this.go(number);
      }
    },
    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.startsWith("Arrow")) this.go(this.beside(event.key));
      else if (event.key === "Home") this.go(this.first);
      else if (event.key === "End") this.go(this.first + this.count() - 1);
      else if (event.key in this.sought) this.seek(this.sought[event.key]);
      else if (event.key === "Enter" || event.key === " ") this.$emit("open", this.cursor);
      else return;
      event.preventDefault();
    },
  },
};
