// The end of a log, as text and nothing else. It follows what is added while the visitor is at its end.
const LONGEST = 400000; // characters that are kept

export default {
  template: `<div class="log" ref="log" tabindex="0" role="log" :aria-label="label" aria-live="off"></div>`,
  props: { label: String },
  emits: ["ready", "drawn"],
  mounted() {
    this.length = 0;
    this.$emit("ready");
  },
  methods: {
    clear() {
      this.$refs.log.replaceChildren();
      this.length = 0;
    },
    add(text, number) {
      const log = this.$refs.log, isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
      log.append(document.createTextNode(text));
      this.length += text.length;
      while (this.length > LONGEST && log.childNodes.length > 1) {
        this.length -= log.firstChild.length;
        log.firstChild.remove();
      }
      if (isAtEnd) log.scrollTop = log.scrollHeight;
      requestAnimationFrame(() => this.$emit("drawn", number));
    },
  },
};
