// One cell for each chunk, on a canvas. The server sends a number for each cell once (`reset`), then for those that have
// changed (`patch`); what a number means is written in cells.py. The server is asked for what a cell's tip is to say.
const PENDING = 0, RUNNING = 1, SUCCEEDED = 2, FAILED = 3;
const LARGEST = 30; // pixels from one cell to the next
const STEPS = [[20000, 4], [60000, 3], [Infinity, 2]]; // chunks, and pixels from one cell to the next at the least
const state = (number) => number & 3;
const percent = (number) => (number >> 2) & 127;
const gapOf = (pitch) => (pitch >= 14 ? 2 : pitch >= 4 ? 1 : 0);
const placeOf = (index, { columns, pitch, wide }) => ({
  x: Math.round((index % columns) * wide),
  y: Math.floor(index / columns) * pitch,
  next: Math.round(((index % columns) + 1) * wide),
});
const isRetried = (number) => (number & 512) !== 0;

export default {
  template: `
    <div class="canvas">
      <canvas ref="canvas" tabindex="0" role="application" :aria-label="label" :data-cells="cells" aria-describedby="chunk-map-said"
        @mousemove="point" @mouseleave="leave" @click="click" @keydown="key" @focus="focused" @blur="leave"></canvas>
      <div class="cursor" v-if="box" :style="box"></div>
      <div class="tip" v-if="tip" :style="place">{{ tip }}</div>
      <div class="unseen" id="chunk-map-said" aria-live="polite">{{ said }}</div>
    </div>`,
  props: { label: String },
  emits: ["ready", "ask", "open"],
  data: () => ({ tip: "", said: "", place: {}, box: null, cells: 0 }),
  watch: {
    "$q.dark.isActive"() {
      this.draw();
    },
  },
  created() {
    this.numbers = new Uint16Array(0);
    this.cursor = 0; // the cell that the keyboard is at
    this.asked = -1; // the cell whose tip is wanted
    this.pitch = this.wide = this.columns = 1;
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
    reset(numbers) {
      this.numbers = Uint16Array.from(numbers);
      this.cursor = Math.min(this.cursor, Math.max(0, numbers.length - 1));
      this.layOut();
    },
    patch(pairs) {
      const changed = [];
      for (let i = 0; i < pairs.length; i += 2) {
        this.numbers[pairs[i]] = pairs[i + 1];
        changed.push(pairs[i]);
      }
      if (this.colours) this.drawCells(changed);
      if (this.asked >= 0) this.ask(this.asked);
    },
    tell(index, text) {
      if (index !== this.asked) return;
      this.tip = text;
      if (this.box) this.said = text;
    },
    layOut() {
      const count = this.numbers.length, width = this.$el.clientWidth;
      if (!width || !count) return;
      const room = width > 600 ? 300 : 420;
      const smallest = STEPS.find(([most]) => count <= most)[1];
      let pitch = LARGEST;
      while (pitch > smallest && Math.ceil(count / Math.floor(width / pitch)) * pitch > room) pitch--;
      this.pitch = pitch;
      this.columns = Math.max(1, Math.floor(width / pitch));
      this.wide = count > this.columns ? width / this.columns : pitch; // the cells of several rows reach to the edge
      const height = Math.ceil(count / this.columns) * pitch;
      const canvas = this.$refs.canvas, scale = window.devicePixelRatio || 1;
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.height = `${height}px`;
      this.context.setTransform(scale, 0, 0, scale, 0, 0);
      this.draw();
      if (this.box) this.box = this.around(this.cursor);
      if (this.asked >= 0) this.lean(this.asked);
    },
    draw() {
      const style = getComputedStyle(document.body);
      const colour = (name) => style.getPropertyValue(`--${name}`).trim();
      this.colours = [colour("pending"), colour("running"), colour("succeeded"), colour("failed")];
      this.empty = colour("running-empty");
      this.mark = colour("on-state");
      const canvas = this.$refs.canvas;
      this.context.clearRect(0, 0, canvas.width, canvas.height);
      this.drawCells(this.numbers.keys(), true);
      this.cells = this.numbers.length;
    },
    // All that is looked up of `this` goes through a proxy, which is slow for thousands of cells.
    drawCells(indices, isClear) {
      const { context, numbers, pitch, columns, wide, colours, empty } = this;
      const layout = { columns, pitch, wide }, gap = gapOf(pitch), side = pitch - gap, isRound = pitch >= 10;
      for (const index of indices) {
        const number = numbers[index], isRunning = state(number) === RUNNING;
        const { x, y, next } = placeOf(index, layout), across = next - x - gap;
        if (!isClear) context.clearRect(x, y, next - x, pitch);
        if (isRound) {
          context.save();
          context.beginPath();
          context.roundRect(x, y, across, side, pitch / 9);
          context.clip();
        }
        context.fillStyle = isRunning ? empty : colours[state(number)];
        context.fillRect(x, y, across, side);
        if (isRunning) {
          const done = Math.max(side / 6, (side * percent(number)) / 100);
          context.fillStyle = colours[RUNNING];
          context.fillRect(x, y + side - done, across, done);
        }
        if (pitch >= 9) this.sign(number, x, y, across, side);
        if (isRound) context.restore();
      }
    },
    // What is to be seen without colours, too.
    sign(number, x, y, across, side) {
      const context = this.context;
      if (state(number) === FAILED) {
        const inset = side * 0.3, left = x + (across - side) / 2;
        context.strokeStyle = this.mark;
        context.lineWidth = Math.max(1.5, side / 12);
        context.beginPath();
        context.moveTo(left + inset, y + inset);
        context.lineTo(left + side - inset, y + side - inset);
        context.moveTo(left + side - inset, y + inset);
        context.lineTo(left + inset, y + side - inset);
        context.stroke();
      } else if (isRetried(number) && state(number) !== PENDING) {
        const corner = Math.max(3, side / 3.5);
        context.fillStyle = this.mark;
        context.beginPath();
        context.moveTo(x + across - corner, y);
        context.lineTo(x + across, y);
        context.lineTo(x + across, y + corner);
        context.fill();
      }
    },
    around(index) {
      const { x, y, next } = placeOf(index, this);
      return { left: `${x - 3}px`, top: `${y - 3}px`, width: `${next - x + 4}px`, height: `${this.pitch + 4}px` };
    },
    ask(index) {
      clearTimeout(this.soon);
      this.asked = index;
      this.soon = setTimeout(() => this.$emit("ask", index), 50);
      this.lean(index);
    },
    // The tip below a cell, and within the map's width.
    lean(index) {
      const { x, y, next } = placeOf(index, this), width = this.$el.clientWidth, top = `${y + this.pitch + 8}px`;
      this.place = x > width / 2 ? { right: `${width - next}px`, top } : { left: `${x}px`, top };
    },
    at(event) {
      const column = Math.floor(event.offsetX / this.wide), row = Math.floor(event.offsetY / this.pitch);
      const index = row * this.columns + column;
      return column >= 0 && column < this.columns && index >= 0 && index < this.numbers.length ? index : -1;
    },
    point(event) {
      const index = this.at(event);
      if (index === this.asked) return;
      if (index < 0) return this.leave();
      this.tip = "";
      this.ask(index);
    },
    leave() {
      clearTimeout(this.soon);
      this.asked = -1;
      this.tip = "";
      if (document.activeElement !== this.$refs.canvas) this.box = null;
    },
    click(event) {
      const index = this.at(event);
      if (index < 0) return;
      this.cursor = index;
      this.$emit("open", index);
    },
    focused() {
      if (this.$refs.canvas.matches(":focus-visible")) this.go(this.cursor);
    },
    go(index) {
      if (!this.numbers.length) return;
      this.cursor = Math.max(0, Math.min(this.numbers.length - 1, index));
      this.box = this.around(this.cursor);
      this.ask(this.cursor);
    },
    seek(wanted) {
      const count = this.numbers.length;
      for (let step = 1; step <= count; step++) {
        const index = (this.cursor + step) % count;
        if (state(this.numbers[index]) === wanted) return this.go(index);
      }
    },
    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns };
      if (event.key in moves) this.go(this.cursor + moves[event.key]);
      else if (event.key === "Home") this.go(0);
      else if (event.key === "End") this.go(this.numbers.length - 1);
      else if (event.key === "f") this.seek(FAILED);
      else if (event.key === "r") this.seek(RUNNING);
      else if (event.key === "Enter" || event.key === " ") this.$emit("open", this.cursor);
      else return;
      event.preventDefault();
    },
  },
};
