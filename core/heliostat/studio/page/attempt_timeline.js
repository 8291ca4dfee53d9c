// Attempts as bars, one lane for each slot, on a canvas. The server sends all of them once (`reset`), then those that
// have changed (`patch`), as slots.py writes them. Stretches in which nothing ran for long are cut short, and say so.
const RUNNING = 0, SUCCEEDED = 1, FAILED = 2, CANCELLED = 3;
const INDEX = 0, NUMBER = 1, SLOT = 2, BEGAN = 3, TOOK = 4, STATE = 5, FIELDS = 6;
const LARGEST_LANE = 18, SMALLEST_LANE = 2, ROOM = 216; // pixels
const AXIS = 20; // pixels
const CUT = 18; // pixels of a stretch that is cut short
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400]; // seconds
const LEAST_TICK = 70; // pixels

function clock(seconds) {
  const whole = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export default {
  template: `
    <div class="canvas">
      <canvas ref="canvas" role="img" :aria-label="label" @mousemove="point" @mouseleave="leave" @click="click"></canvas>
      <div class="tip" v-if="tip" :style="place">{{ tip }}</div>
    </div>`,
  props: { label: String },
  emits: ["ready", "ask", "open"],
  data: () => ({ tip: "", place: {} }),
  watch: {
    "$q.dark.isActive"() {
      this.draw();
    },
  },
  created() {
    this.bars = []; // each as FIELDS numbers
    this.first = 0;
    this.slots = 1;
    this.now = 0;
    this.asked = -1;
  },
  mounted() {
    this.context = this.$refs.canvas.getContext("2d");
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.$el);
    this.$emit("ready");
  },
  beforeUnmount() {
    this.sizes.disconnect();
    clearTimeout(this.soon);
  },
  methods: {
    reset(first, numbers, slots, now) {
      this.first = first;
      this.bars = [];
      for (let i = 0; i < numbers.length; i += FIELDS) this.bars.push(numbers.slice(i, i + FIELDS));
      this.show(slots, now);
    },
    patch(first, numbers, slots, now) {
      for (let i = 0; i < numbers.length; i += FIELDS + 1) {
        this.bars[numbers[i] - this.first] = numbers.slice(i + 1, i + 1 + FIELDS);
      }
      if (first > this.first) this.bars.splice(0, first - this.first);
      this.first = first;
      this.show(slots, now);
    },
    show(slots, now) {
      this.slots = Math.max(1, slots);
      this.now = now;
      this.draw();
    },
    tell(number, text) {
      if (number === this.asked) this.tip = text;
    },
    end(bar) {
      return bar[TOOK] < 0 ? Math.max(this.now, bar[BEGAN]) : bar[BEGAN] + bar[TOOK];
    },
    // Where times lie: stretches of time in which something ran, each with its first pixel.
    measure(width) {
      const busy = [];
      for (const bar of this.bars) {
        const last = busy[busy.length - 1], end = this.end(bar);
        if (!last || bar[BEGAN] > last.end) {
          busy.push({ begin: bar[BEGAN], end });
          continue;
        }
        last.begin = Math.min(last.begin, bar[BEGAN]);
        last.end = Math.max(last.end, end);
      }
      if (!busy.length) return [];
      const total = busy.reduce((sum, one) => sum + one.end - one.begin, 0);
      const stretches = [busy[0]];
      for (const one of busy.slice(1)) {
        const last = stretches[stretches.length - 1];
        if (one.begin - last.end > Math.max(10000, total / 4)) stretches.push(one);
        else last.end = one.end;
      }
      const shown = stretches.reduce((sum, one) => sum + one.end - one.begin, 0) || 1;
      const scale = Math.max(1, width - CUT * (stretches.length - 1)) / shown;
      let x = 0;
      for (const one of stretches) {
        one.x = x;
        one.scale = scale;
        x += (one.end - one.begin) * scale + CUT;
      }
      return stretches;
    },
    x(time) {
      let found = this.stretches[0];
      for (const one of this.stretches) if (one.begin <= time) found = one;
      return found.x + (Math.min(time, found.end) - found.begin) * found.scale;
    },
    draw() {
      const width = this.$el.clientWidth;
      if (!width) return;
      const lane = Math.max(SMALLEST_LANE, Math.min(LARGEST_LANE, Math.floor(ROOM / this.slots)));
      const height = lane * this.slots + AXIS;
      const canvas = this.$refs.canvas, context = this.context, scale = window.devicePixelRatio || 1;
      if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
        canvas.width = Math.round(width * scale);
        canvas.height = Math.round(height * scale);
        canvas.style.height = `${height}px`;
      }
      context.setTransform(scale, 0, 0, scale, 0, 0);
      context.clearRect(0, 0, width, height);
      this.lane = lane;
      this.stretches = this.measure(width);
      const style = getComputedStyle(document.body);
      const colour = (name) => style.getPropertyValue(`--${name}`).trim();
      context.fillStyle = colour("sunken");
      for (const one of this.stretches) context.fillRect(one.x, 0, (one.end - one.begin) * one.scale, lane * this.slots);
      if (!this.bars.length) return;
      this.drawAxis(colour, width, height);
      const gap = lane >= 6 ? 2 : lane >= 4 ? 1 : 0;
      const colours = [colour("running"), colour("succeeded"), colour("failed"), colour("cancelled")];
      const inState = [[], [], [], []], retries = [];
      for (const bar of this.bars) {
        const left = this.x(bar[BEGAN]), wide = this.x(this.end(bar)) - left;
        inState[bar[STATE]].push([left, bar[SLOT] * lane, Math.max(1, wide - (wide > 3 ? 1 : 0)), lane - gap]);
        if (lane >= 8 && bar[NUMBER] > 1 && wide > 7) retries.push([left + 2, bar[SLOT] * lane + 2, 2, lane - gap - 4]);
      }
      for (const state of [SUCCEEDED, CANCELLED, RUNNING, FAILED]) { // what matters most comes last
        context.fillStyle = colours[state];
        for (const [x, y, wide, high] of inState[state]) context.fillRect(x, y, wide, high);
      }
      context.fillStyle = colour("on-state");
      for (const [x, y, wide, high] of retries) context.fillRect(x, y, wide, high);
    },
    drawAxis(colour, width, height) {
      const { context, stretches } = this, top = height - AXIS;
      context.font = "11px system-ui, sans-serif";
      context.textBaseline = "middle";
      const origin = stretches[0].begin;
      const step = 1000 * (STEPS.find((seconds) => seconds * 1000 * stretches[0].scale >= LEAST_TICK) ?? STEPS[STEPS.length - 1]);
      stretches.forEach((one, place) => {
        for (let tick = Math.ceil((one.begin - origin) / step) * step; origin + tick <= one.end; tick += step) {
          const x = one.x + (origin + tick - one.begin) * one.scale;
          context.fillStyle = colour("line");
          context.fillRect(Math.round(x), 0, 1, top + 4);
          const text = clock(tick / 1000);
          context.fillStyle = colour("quiet");
          context.fillText(text, Math.min(x + 3, width - context.measureText(text).width), top + AXIS / 2 + 2);
        }
        if (place > 0) {
          context.fillStyle = colour("quiet");
          context.fillText("//", one.x - CUT / 2 - 4, top / 2);
        }
      });
    },
    at(event) {
      const slot = Math.floor(event.offsetY / this.lane);
      for (let place = this.bars.length - 1; place >= 0; place--) {
        const bar = this.bars[place];
        if (bar[SLOT] !== slot) continue;
        const left = this.x(bar[BEGAN]);
        if (event.offsetX >= left - 1 && event.offsetX <= Math.max(left + 2, this.x(this.end(bar)))) return place;
      }
      return -1;
    },
    point(event) {
      if (!this.bars.length) return;
      const place = this.at(event);
      if (place < 0) return this.leave();
      if (place + this.first !== this.asked) {
        this.tip = "";
        this.asked = place + this.first;
        clearTimeout(this.soon);
        this.soon = setTimeout(() => this.$emit("ask", this.asked), 50);
      }
      const isRight = event.offsetX > this.$el.clientWidth / 2, top = `${event.offsetY + 16}px`;
      this.place = isRight ? { right: `${this.$el.clientWidth - event.offsetX}px`, top } : { left: `${event.offsetX}px`, top };
    },
    leave() {
      clearTimeout(this.soon);
      this.asked = -1;
      this.tip = "";
    },
    click(event) {
      const place = this.bars.length ? this.at(event) : -1;
      if (place >= 0) this.$emit("open", place + this.first);
    },
  },
};
