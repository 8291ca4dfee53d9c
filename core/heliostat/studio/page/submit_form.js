// The form for a new job, from the fields that option_fields.py makes of options types. The browser sends what is
// entered to the API, files included, and shows what that says at the field it is about. What is left empty is not sent.
const isNumber = (field) => field.kind === "integer" || field.kind === "number";

function lines(text) {
  return text.split("\n").map((line) => line.trim()).filter((line) => line);
}

// The value of a field's text. Throws what is wrong with it, as a sentence.
function read(field, text) {
  if (isNumber(field)) {
    const value = Number(text);
    if (!Number.isFinite(value)) throw "A number, please.";
    if (field.kind === "integer" && !Number.isInteger(value)) throw "A whole number, please.";
    if (field.least !== undefined && value < field.least) throw `At least ${field.least}, please.`;
    if (field.most !== undefined && value > field.most) throw `At most ${field.most}, please.`;
    if (field.above !== undefined && value <= field.above) throw `More than ${field.above}, please.`;
    if (field.below !== undefined && value >= field.below) throw `Less than ${field.below}, please.`;
    return value;
  }
  if (field.kind === "choice") return field.choices[Number(text)];
  if (field.kind === "lines") return lines(text);
  if (field.kind === "pairs") {
    return Object.fromEntries(
      lines(text).map((line) => {
        const place = line.indexOf("=");
        if (place < 1) throw `${line} is not like NAME=value.`;
        return [line.slice(0, place).trim(), line.slice(place + 1).trim()];
      }),
    );
  }
  if (field.kind === "json") {
    try {
      return JSON.parse(text);
    } catch {
      throw "This is no JSON.";
    }
  }
  if (field.shortest !== undefined && [...text].length < field.shortest) throw `At least ${field.shortest} characters, please.`;
  if (field.longest !== undefined && [...text].length > field.longest) throw `At most ${field.longest} characters, please.`;
  if (field.pattern !== undefined && !new RegExp(field.pattern, "u").test(text)) throw `To be like ${field.pattern}.`;
  return text;
}

function untouched(field) {
  if (field.kind === "switch") return field.default === true;
  if (field.kind !== "choice") return "";
  const place = (field.choices || []).indexOf(field.default);
  return place < 0 ? "" : String(place);
}

const Field = {
  props: { field: Object, modelValue: null, name: String, wrong: String },
  emits: ["update:modelValue"],
  template: `
    <div class="field" :class="[field.kind]">
      <template v-if="field.kind === 'switch'">
        <input type="checkbox" v-bind="common" :checked="modelValue" @change="give($event.target.checked)">
        <label :for="name">{{ field.label }}</label>
      </template>
      <template v-else>
        <label :for="name">{{ field.label }} <span class="quiet" v-if="field.required">needed</span></label>
        <select v-if="field.kind === 'choice'" v-bind="common" :value="modelValue" @change="give($event.target.value)">
          <option value="" v-if="field.default === undefined || modelValue === ''">{{ field.required ? "choose" : "as usual" }}</option>
          <option v-for="(choice, place) in field.choices" :value="String(place)">{{ say(choice) }}</option>
        </select>
        <textarea v-else-if="isLong" v-bind="common" rows="3" spellcheck="false" :value="modelValue" @input="give($event.target.value)"></textarea>
        <input v-else type="text" v-bind="common" :inputmode="numeric ? 'decimal' : 'text'" :placeholder="usual" autocomplete="off"
          spellcheck="false" :value="modelValue" @input="give($event.target.value)">
      </template>
      <div class="wrong" :id="name + '-wrong'" v-if="wrong">{{ wrong }}</div>
      <div class="hint" :id="name + '-hint'" v-if="field.hint">{{ field.hint }}</div>
    </div>`,
  computed: {
    numeric() {
      return isNumber(this.field);
    },
    isLong() {
      return ["lines", "pairs", "json"].includes(this.field.kind);
    },
    usual() {
      return this.field.default === undefined ? "" : this.say(this.field.default);
    },
    common() {
      const about = [this.wrong && `${this.name}-wrong`, this.field.hint && `${this.name}-hint`].filter(Boolean).join(" ");
      return {
        id: this.name,
        "aria-invalid": this.wrong ? "true" : null,
        "aria-describedby": about || null,
        "aria-required": this.field.required ? "true" : null,
      };
    },
  },
  methods: {
    give(value) {
      this.$emit("update:modelValue", value);
    },
    say(value) {
      if (value === true) return "yes";
      if (value === false) return "no";
      return typeof value === "object" ? JSON.stringify(value) : String(value);
    },
  },
};

export default {
  components: { Field },
  props: { workers: Array, settings: Array, refusal: String, largest: Number },
  template: `
    <form class="form" novalidate @submit.prevent="submit">
      <fieldset class="card" :disabled="!!refusal || sending">
        <legend>Job</legend>
        <div class="chips" role="group" aria-label="Where the job comes from">
          <button type="button" :aria-pressed="String(source === 'file')" @click="source = 'file'">A job file</button>
          <button type="button" :aria-pressed="String(source === 'text')" @click="source = 'text'">Written here</button>
        </div>
        <div class="field" v-show="source === 'file'">
          <label for="job-file">Job file</label>
          <input type="file" id="job-file" accept=".toml,.yaml,.yml,.json" @change="pick" :aria-invalid="wrong.job ? 'true' : null" aria-describedby="job-wrong">
        </div>
        <div class="field" v-show="source === 'text'">
          <div class="row"><label for="job-text">Job</label>
            <select v-model="format" aria-label="Format of the job"><option>toml</option><option>yaml</option><option>json</option></select></div>
          <textarea id="job-text" rows="12" spellcheck="false" v-model="text" :placeholder="example" :aria-invalid="wrong.job ? 'true' : null" aria-describedby="job-wrong"></textarea>
        </div>
        <div class="wrong" id="job-wrong" v-if="wrong.job">{{ wrong.job }}</div>
        <div class="fields">
          <Field :field="directory" name="job-dir" v-model="jobDir" :wrong="wrong.jobDir"></Field>
          <div class="field" v-show="!jobDir.trim()">
            <label for="files">Files that it needs</label>
            <input type="file" id="files" multiple @change="take" :aria-invalid="wrong.files ? 'true' : null" aria-describedby="files-hint">
            <label for="folder" class="unseen">A folder with files that it needs</label>
            <input type="file" id="folder" webkitdirectory hidden @change="take">
            <div class="wrong" v-if="wrong.files">{{ wrong.files }}</div>
            <div class="hint" id="files-hint">They are laid beside the job file. <button type="button" class="link" @click="folder">Take a whole folder</button>
              <span v-if="files.length"> {{ files.length }} chosen.</span></div>
          </div>
        </div>
      </fieldset>
      <fieldset class="card" :disabled="!!refusal || sending">
        <legend>Worker</legend>
        <div class="field">
          <label for="worker">Where its chunks run</label>
          <select id="worker" v-model="worker" @change="settle"><option v-for="one in workers" :value="one.name">{{ one.name }}</option></select>
          <div class="hint">{{ chosen.summary }}</div>
        </div>
        <div class="fields" v-if="chosen.fields.length">
          <Field v-for="field in chosen.fields" :key="worker + field.name" :field="field" :name="'worker-' + field.name"
            v-model="options[field.name]" :wrong="wrong['worker.' + field.name]"></Field>
        </div>
      </fieldset>
      <fieldset class="card" :disabled="!!refusal || sending">
        <legend>How it is run</legend>
        <div class="fields">
          <Field v-for="field in settings" :key="field.name" :field="field" :name="'setting-' + field.name"
            v-model="given[field.name]" :wrong="wrong['setting.' + field.name]"></Field>
        </div>
      </fieldset>
      <div class="notice bad" role="alert" v-if="problem" id="problem">{{ problem }}</div>
      <div class="answers"><button type="submit" class="strong" :disabled="!!refusal || sending" id="submit">{{ sending ? said : "Submit the job" }}</button></div>
    </form>`,
  data() {
    const given = Object.fromEntries(this.settings.map((field) => [field.name, untouched(field)]));
    return {
      source: "file", format: "toml", text: "", job: null, files: [], jobDir: "", worker: this.workers[0].name, given,
      options: {}, wrong: {}, problem: "", sending: false, said: "",
      directory: { label: "Job directory", kind: "text",
        hint: "A folder on Studio's machine that the commands run in. When empty, a new one with the files that come with the job." },
      example: 'name = "film"\nframes = 240\nfps = 24\nchunkSize = 24\noutput = "chunks/{chunk:04d}.mp4"\n'
        + 'command = "blender -b film.blend -s {start} -e {end} …"\n\n[merge]\nstitcher = "ffmpeg"\noutput = "film.mp4"',
    };
  },
  computed: {
    chosen() {
      return this.workers.find((one) => one.name === this.worker);
    },
  },
  created() {
    this.settle();
  },
  methods: {
    settle() {
      this.options = Object.fromEntries(this.chosen.fields.map((field) => [field.name, untouched(field)]));
    },
    pick(event) {
      this.job = event.target.files[0] || null;
    },
    take(event) {
      this.files = [...event.target.files];
    },
    folder() {
      document.getElementById("folder").click();
    },
    // What was entered in some fields, where it differs from what holds anyway.
    entered(fields, values, where) {
      const found = {};
      for (const field of fields) {
        const value = values[field.name];
        if (value === untouched(field) || (typeof value === "string" && !value.trim())) {
          if (field.required && !String(value).trim()) this.wrong[`${where}.${field.name}`] = "This is needed.";
          continue;
        }
        try {
          found[field.name] = field.kind === "switch" ? value : read(field, value);
        } catch (sentence) {
          this.wrong[`${where}.${field.name}`] = String(sentence);
        }
      }
      return found;
    },
    body() {
      this.wrong = {};
      this.problem = "";
      const terms = { worker: { name: this.worker, options: this.entered(this.chosen.fields, this.options, "worker") } };
      terms.options = this.entered(this.settings, this.given, "setting");
      const isText = this.source === "text", job = isText ? new Blob([this.text]) : this.job;
      if (!job || !job.size) this.wrong.job = isText ? "Write the job here." : "Choose the job file.";
      if (Object.keys(this.wrong).length) return null;
      const body = new FormData(), name = isText ? `job.${this.format}` : job.name;
      body.append("job", job, name);
      let size = job.size;
      if (this.jobDir.trim()) terms.jobDir = this.jobDir.trim();
      else {
        for (const file of this.files) {
          // A folder's own name is left out: its files lie beside the job file.
          const path = file.webkitRelativePath ? file.webkitRelativePath.split("/").slice(1).join("/") : file.name;
          if (path === name) continue;
          body.append("files", file, path);
          size += file.size;
        }
      }
      body.append("terms", JSON.stringify(terms));
      if (size > this.largest) {
        this.wrong.files = `These are ${Math.ceil(size / 1e6)} MB; at most ${Math.floor(this.largest / 1e6)} MB are taken.`;
        return null;
      }
      return body;
    },
    submit() {
      const body = this.body();
      if (body === null) return this.seek();
      const request = new XMLHttpRequest(); // fetch tells nothing of what has been sent
      request.open("POST", "/api/v1/jobs");
      request.responseType = "json";
      request.upload.onprogress = (event) => {
        if (event.lengthComputable) this.said = `Sending… ${Math.floor((100 * event.loaded) / event.total)} %`;
      };
      request.onload = () => {
        if (request.status === 201) return window.location.assign(`/jobs/${encodeURIComponent(request.response.id)}`);
        this.sending = false;
        this.refuse(request.response || {}, request.status);
      };
      request.onerror = () => {
        this.sending = false;
        this.problem = "Studio cannot be reached. Nothing was submitted; try again.";
      };
      this.said = "Sending…";
      this.sending = true;
      request.send(body);
    },
    // A problem document (RFC 9457): at the field that it is about, and as a sentence.
    refuse({ detail, path }, status) {
      const sentence = detail ? detail[0].toUpperCase() + detail.slice(1) : `Studio answered ${status}.`;
      const place = (path || "").match(/^\$\.(options|worker\.options)\.(\w+)/), option = sentence.match(/ - option `(\w+)/);
      const at = path && !["body", ""].includes(path) && !place && !path.startsWith("$.worker") ? ` (at ${path})` : "";
      this.problem = sentence + at;
      if (place) this.wrong[`${place[1] === "options" ? "setting" : "worker"}.${place[2]}`] = sentence;
      else if (option) this.wrong[`worker.${option[1]}`] = sentence;
      else if (path === "$.jobDir") this.wrong.jobDir = sentence;
      else if (path === "files") this.wrong.files = sentence;
      else if (status === 422 && !(path || "").startsWith("$.worker")) this.wrong.job = sentence + at;
      this.seek();
    },
    // To the first field that something is wrong with.
    seek() {
      this.$nextTick(() => this.$el.querySelector('[aria-invalid="true"]')?.focus());
    },
  },
};
