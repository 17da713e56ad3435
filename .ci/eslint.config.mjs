// The live figures are plain scripts that share one name, DBN.
const browser = ["document", "window", "fetch", "atob", "requestAnimationFrame", "performance", "matchMedia", "getComputedStyle",
  "queueMicrotask", "ResizeObserver", "MutationObserver", "ImageData", "Event", "URL", "Blob", "TextDecoder", "setTimeout", "clearTimeout"];
const rules = ["no-undef", "no-unused-vars", "no-const-assign", "no-dupe-keys", "no-dupe-args", "no-redeclare", "no-shadow", "no-var",
  "no-unreachable", "no-fallthrough", "no-empty", "no-self-assign", "no-sparse-arrays", "no-unsafe-finally", "no-cond-assign",
  "no-use-before-define", "no-implicit-globals", "no-eval", "prefer-const", "eqeqeq", "use-isnan", "valid-typeof", "no-constant-condition",
  "no-loss-of-precision", "no-unused-expressions", "array-callback-return", "consistent-return", "no-extra-boolean-cast",
  "no-useless-escape", "no-prototype-builtins", "no-async-promise-executor", "require-atomic-updates"];
export default [{
  files: ["**/*.js"],
  languageOptions: { ecmaVersion: 2022, sourceType: "script", globals: Object.fromEntries(browser.map((name) => [name, "readonly"])) },
  linterOptions: { reportUnusedDisableDirectives: "error" },
  rules: {
    ...Object.fromEntries(rules.map((rule) => [rule, "error"])),
    "no-use-before-define": ["error", { functions: false, variables: false }],
    "no-unused-expressions": ["error", { allowShortCircuit: true, allowTernary: true }],
    "max-len": ["error", 130],
    complexity: ["error", 20],
  },
}];
