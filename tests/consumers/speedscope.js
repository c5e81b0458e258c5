// What speedscope's own importer finds in files.
//
//     node speedscope.js NODE_MODULES FILE…
//
// Prints, as JSON, for each file: its name, whether it is valid by speedscope's own schema (null for other formats than
// its own), and for each profile its name, unit, total weight, and self and total weight by the name of a frame.

const fs = require('fs');
const path = require('path');
const vm = require('vm');

const [modules, ...files] = process.argv.slice(2);
const release = path.join(modules, 'speedscope/dist/release');

function script(prefix) {
  const name = fs.readdirSync(release).find((name) => name.startsWith(prefix) && name.endsWith('.js'));
  return fs.readFileSync(path.join(release, name), 'utf8');
}

// The importer is part of a page. The page's modules are loaded here, and the page itself is not started.
function importer() {
  globalThis.window = { location: { hash: '' } };
  vm.runInThisContext(script('speedscope.').replace(/,\[[^\]]*\], null\)/, ',[], null)'));
  const text = script('import.');
  vm.runInThisContext(text);
  const numbers = [...text.matchAll(/"([\w+/]{4})":\[function\(require,module,exports\)/g)].map((found) => found[1]);
  const loaded = numbers.map((number) => globalThis.parcelRequire(number));
  return loaded.find((module) => module.importProfileGroupFromText);
}

function validator() {
  const Ajv = require(path.join(path.resolve(modules), 'ajv'));
  const schema = JSON.parse(fs.readFileSync(path.join(release, 'file-format-schema.json'), 'utf8'));
  return new Ajv.default({ strict: false }).compile(schema);
}

function frames(profile) {
  const byName = {};
  profile.forEachFrame((frame) => {
    const sum = (byName[frame.name] ??= { self: 0, total: 0 });
    sum.self += frame.getSelfWeight();
    sum.total += frame.getTotalWeight();
  });
  return byName;
}

async function main() {
  // It says what it takes a file for.
  console.log = console.error;
  const { importProfileGroupFromText } = importer();
  const valid = validator();
  const found = [];
  for (const file of files) {
    const text = fs.readFileSync(file, 'utf8');
    const group = await importProfileGroupFromText(path.basename(file), text);
    const profiles = group.profiles.map((profile) => ({
      name: profile.getName(),
      unit: profile.getWeightUnit(),
      total: profile.getTotalWeight(),
      nonidle: profile.getTotalNonIdleWeight(),
      frames: frames(profile),
    }));
    const own = file.endsWith('.speedscope.json');
    found.push({ name: group.name, valid: own ? valid(JSON.parse(text)) : null, profiles });
  }
  process.stdout.write(JSON.stringify(found));
}

main();
