// One cell for each chunk, on a canvas. The server sends a number for each cell once (`reset`), then for those that have
// changed (`patch`); what a number means is written in cells.py.
import Canvas, { colour, cross } from "canvas";

const PENDING = 0, RUNNING = 1, SUCCEEDED = 2, FAILED = 3;
const LARGEST = 30; // pixels from one cell to the next
const STEPS = [[20000, 4], [60000, 3], [Infinity, 2]]; // chunks, and pixels from one cell to the next at the least
const stateOf = (number) => number & 3;
const percent = (number) => (number >> 2) & 127;
const gapOf = (pitch) => (pitch >= 14 ? 2 : pitch >= 4 ? 1 : 0);
const placeOf = (index, { columns, pitch, wide }) => ({
  x: Math.round((index % columns) * wide),
  y: Math.floor(index / columns) * pitch,
  next: Math.round(((index % columns) + 1) * wide),
});
const isRetried = (number) => (number & 512) !== 0;

export default {
  extends: Canvas,
  name: "chunk-map",
  created() {
    this.numbers = new Uint16Array(0);
    this.sought = { f: FAILED, r: RUNNING };
    this.pitch = this.wide = this.columns = 1;
  },
  methods: {
    reset(numbers) {
      this.numbers = Uint16Array.from(numbers);
      this.renew();
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
      this.clear(width, Math.ceil(count / this.columns) * pitch);
      this.colours = [colour("pending"), colour("running"), colour("succeeded"), colour("failed")];
      this.empty = colour("running-empty");
      this.ground = colour("surface");
      this.drawCells(this.numbers.keys(), true);
      this.$refs.canvas.dataset.cells = count;
      this.frame();
    },
    // All that is looked up of `this` goes through a proxy, which is slow for thousands of cells.
    drawCells(indices, isClear) {
      const { context, numbers, pitch, columns, wide, colours, empty } = this;
      const layout = { columns, pitch, wide }, gap = gapOf(pitch), side = pitch - gap, isRound = pitch >= 10;
      for (const index of indices) {
        const number = numbers[index], isRunning = stateOf(number) === RUNNING;
        const { x, y, next } = placeOf(index, layout), across = next - x - gap;
        if (!isClear) context.clearRect(x, y, next - x, pitch);
        if (isRound) {
          context.save();
          context.beginPath();
          context.roundRect(x, y, across, side, pitch / 9);
          context.clip();
        }
        context.fillStyle = isRunning ? empty : colours[stateOf(number)];
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
      if (stateOf(number) === FAILED) {
        context.strokeStyle = this.ground;
        cross(context, x + (across - side) / 2, y, side);
      } else if (isRetried(number) && stateOf(number) !== PENDING) {
        const corner = Math.max(3, side / 3.5);
        context.fillStyle = this.ground;
        context.beginPath();
        context.moveTo(x + across - corner, y);
        context.lineTo(x + across, y);
        context.lineTo(x + across, y + corner);
        context.fill();
      }
    },
    count() {
      return this.numbers.length;
    },
    state(index) {
      return stateOf(this.numbers[index]);
    },
    edges(index) {
      const { x, y, next } = placeOf(index, this), gap = gapOf(this.pitch);
      return { left: x, right: next - gap, top: y, bottom: y + this.pitch - gap };
    },
    at(event) {
      const column = Math.floor(event.offsetX / this.wide), row = Math.floor(event.offsetY / this.pitch);
      const index = row * this.columns + column;
      return column >= 0 && column < this.columns && index >= 0 && index < this.numbers.length ? index : -1;
    },
    beside(key) {
      return this.cursor + { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns }[key];
    },
  },
};
