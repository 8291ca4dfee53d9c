// Attempts as bars, one lane for each slot, on a canvas. The server sends all of them once (`reset`), then those that
// have changed (`patch`), as slots.py writes them. Stretches in which nothing ran for long are cut short, and say so.
import Canvas, { colour, cross } from "canvas";

const RUNNING = 0, SUCCEEDED = 1, FAILED = 2, CANCELLED = 3;
const INDEX = 0, NUMBER = 1, SLOT = 2, BEGAN = 3, TOOK = 4, STATE = 5, FIELDS = 6;
const LARGEST_LANE = 18, SMALLEST_LANE = 2, ROOM = 216; // pixels
const LEAST_SIGNED = 8; // pixels of a lane whose bars have room for a retry's stripe and a failure's cross
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
  extends: Canvas,
  name: "attempt-timeline",
  created() {
    this.bars = []; // each as FIELDS numbers
    this.sought = { f: FAILED, r: RUNNING };
    this.slots = 0;
    this.now = 0;
  },
  methods: {
    reset(first, numbers, slots, now) {
      this.first = first;
      this.bars = [];
      for (let i = 0; i < numbers.length; i += FIELDS) this.bars.push(numbers.slice(i, i + FIELDS));
      this.slots = slots;
      this.now = now;
      this.renew();
    },
    patch(first, numbers, slots, now) {
      for (let i = 0; i < numbers.length; i += FIELDS + 1) {
        this.bars[numbers[i] - this.first] = numbers.slice(i + 1, i + 1 + FIELDS);
        if (numbers[i] === this.asked) this.ask(this.asked);
      }
      if (first > this.first) this.bars.splice(0, first - this.first);
      this.first = first;
      this.slots = slots;
      this.now = now;
      this.cursor = this.within(this.cursor);
      this.layOut();
      if (!this.box) this.focused(); // the keyboard may have been here before the first attempt
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
    layOut() {
      const width = this.$el.clientWidth;
      if (!width) return;
      const lane = Math.max(SMALLEST_LANE, Math.min(LARGEST_LANE, Math.floor(ROOM / Math.max(1, this.slots))));
      const height = lane * this.slots + AXIS, context = this.context;
      this.clear(width, height);
      this.lane = lane;
      this.gap = lane >= 6 ? 2 : lane >= 4 ? 1 : 0;
      this.stretches = this.measure(width);
      context.fillStyle = colour("sunken");
      for (const one of this.stretches) context.fillRect(one.x, 0, (one.end - one.begin) * one.scale, lane * this.slots);
      if (!this.bars.length) return;
      this.drawAxis(width, height);
      this.drawBars();
      this.frame();
    },
    drawBars() {
      const { context, lane } = this, high = lane - this.gap;
      const colours = [colour("running"), colour("succeeded"), colour("failed"), colour("cancelled")];
      const inState = [[], [], [], []], retries = [], crosses = [];
      for (const bar of this.bars) {
        const left = this.x(bar[BEGAN]), wide = this.x(this.end(bar)) - left, y = bar[SLOT] * lane;
        const isRetry = bar[NUMBER] > 1, isFailed = bar[STATE] === FAILED;
        inState[bar[STATE]].push([left, y, Math.max(isFailed ? 2 : 1, wide - (wide > 3 ? 1 : 0))]);
        if (lane < LEAST_SIGNED) continue;
        if (isRetry && wide > 7) retries.push([left + 2, y + 2]);
        if (isFailed && wide > high + (isRetry ? 5 : 1)) crosses.push([left + wide - 1 - high, y]); // where it ended
      }
      for (const state of [SUCCEEDED, CANCELLED, RUNNING, FAILED]) { // what matters most comes last
        context.fillStyle = colours[state];
        for (const [x, y, wide] of inState[state]) context.fillRect(x, y, wide, high);
      }
      context.fillStyle = context.strokeStyle = colour("surface");
      for (const [x, y] of retries) context.fillRect(x, y, 2, high - 4);
      for (const [x, y] of crosses) cross(context, x, y, high);
    },
    drawAxis(width, height) {
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
    count() {
      return this.bars.length;
    },
    state(number) {
      return this.bars[number - this.first][STATE];
    },
    edges(number) {
      const bar = this.bars[number - this.first], left = this.x(bar[BEGAN]), top = bar[SLOT] * this.lane;
      const right = Math.max(left + 1, this.x(this.end(bar)));
      return { left, right, top, bottom: top + this.lane - this.gap };
    },
    at(event) {
      const slot = Math.floor(event.offsetY / this.lane);
      for (let place = this.bars.length - 1; place >= 0; place--) {
        const bar = this.bars[place];
        if (bar[SLOT] !== slot) continue;
        const left = this.x(bar[BEGAN]);
        if (event.offsetX < left - 1 || event.offsetX > Math.max(left + 2, this.x(this.end(bar)))) continue;
        return this.first + place;
      }
      return -1;
    },
    // Left and right in the order in which they began; up and down to what ran in the next slot when this one began.
    beside(key) {
      if (key === "ArrowRight" || key === "ArrowLeft") return this.cursor + (key === "ArrowRight" ? 1 : -1);
      const from = this.bars[this.cursor - this.first], slot = from[SLOT] + (key === "ArrowDown" ? 1 : -1);
      let nearest = this.cursor, least = Infinity;
      this.bars.forEach((bar, place) => {
        if (bar[SLOT] !== slot) return;
        const away = Math.max(bar[BEGAN] - from[BEGAN], from[BEGAN] - this.end(bar), 0);
        if (away < least) [nearest, least] = [this.first + place, away];
      });
      return nearest;
    },
  },
};
