// Tells the server when the browser has drawn what it was sent, and the visitor when the connection is gone.
// A hidden tab draws nothing, so it answers when it is seen again.
export default {
  template: `<div><div class="banner" role="alert" v-if="lost">{{ text }}</div></div>`,
  emits: ["drawn", "themed"],
  props: { text: String },
  data: () => ({ lost: false }),
  mounted() {
    const attach = () => {
      if (!window.socket) return setTimeout(attach, 10); // the application makes it when all of its parts are mounted
      window.socket.on("disconnect", () => (this.lost = true));
      window.socket.on("connect", () => (this.lost = false));
    };
    attach();
  },
  methods: {
    beat(number) {
      requestAnimationFrame(() => this.$emit("drawn", number));
    },
    turn_theme(cookie) {
      const dark = !Quasar.Dark.isActive;
      // What the system has anyway is not kept: the page follows the system again.
      const follows = dark === matchMedia("(prefers-color-scheme: dark)").matches;
      const kept = follows ? "; max-age=0" : `${dark ? "dark" : "light"}; max-age=31536000`;
      document.cookie = `${cookie}=${kept}; path=/; samesite=strict`;
      this.$emit("themed", follows ? null : dark);
    },
  },
};
