// What Perfetto's own trace processor answers to queries about a trace.
//
//     node perfetto.js UI TRACE QUERY…
//
// UI is a folder with Perfetto's viewer, in which the trace processor is WebAssembly. Prints, as JSON, for each query
// its rows, objects by the names of the columns. Asks by the protocol by which the viewer asks: protocol buffers, of
// which the few fields that are needed are taken apart here.

const fs = require('fs');
const path = require('path');
const vm = require('vm');

const [ui, trace, ...queries] = process.argv.slice(2);

const APPEND = 1, FINISH = 2, QUERY = 3;

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Buffer.from([...bytes, value]);
}

const number = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
const bytes = (field, value) => Buffer.concat([varint((field << 3) | 2), varint(value.length), value]);

// The fields of a message, each with its number; a number is a BigInt.
function* fields(message) {
  let at = 0;
  const read = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = Number(read());
    const [field, kind] = [key >> 3, key & 7];
    if (kind === 0) yield [field, read()];
    else if (kind === 1) yield [field, message.subarray(at, (at += 8))];
    else if (kind === 2) {
      const length = Number(read());
      yield [field, message.subarray(at, (at += length))];
    } else throw new Error(`a field of kind ${kind}`);
  }
}

function varints(packed) {
  // As fields of one number each.
  const found = [];
  let value = 0n, shift = 0n;
  for (const byte of packed) {
    value |= BigInt(byte & 127) << shift;
    shift += 7n;
    if (byte < 128) {
      found.push(Number(BigInt.asIntN(64, value)));
      [value, shift] = [0n, 0n];
    }
  }
  return found;
}

// One part of a query's result: column names, an error, and cells of kinds.
function addResult(message, result) {
  for (const [field, value] of fields(message)) {
    if (field === 1) result.columns.push(value.toString());
    else if (field === 2) throw new Error(value.toString());
    else if (field === 3) addCells(value, result);
  }
}

function addCells(message, result) {
  let kinds = [], whole = [], text = [], real = [];
  for (const [field, value] of fields(message)) {
    if (field === 1) kinds = varints(value);
    else if (field === 2) whole = varints(value);
    else if (field === 3) for (let at = 0; at < value.length; at += 8) real.push(value.readDoubleLE(at));
    else if (field === 5) text = value.toString().split('\0');
    else if (field === 6) result.isDone = value !== 0n;
  }
  for (const kind of kinds) {
    const cell = kind === 1 ? null : kind === 2 ? whole.shift() : kind === 3 ? real.shift() : text.shift();
    result.cells.push(cell);
  }
}

function rows({ columns, cells }) {
  const found = [];
  for (let at = 0; at < cells.length; at += columns.length) {
    found.push(Object.fromEntries(columns.map((name, column) => [name, cells[at + column]])));
  }
  return found;
}

// The viewer's worker, and a port to it.
function start(onReply) {
  const worker = {
    console: { log() {}, warn() {}, error() {} }, TextDecoder, TextEncoder, URL, performance, setTimeout, crypto,
    location: { href: 'http://viewer/' }, importScripts() {}, WorkerGlobalScope: function () {},
    XMLHttpRequest: class {
      open(method, url) { this.url = url; }
      send() { this.response = inside(fs.readFileSync(path.join(ui, path.basename(this.url)))).buffer; }
    },
  };
  worker.self = worker;
  const context = vm.createContext(worker);
  const inside = (buffer) => {
    const copy = vm.runInContext('(length) => new Uint8Array(length)', context)(buffer.length);
    copy.set(buffer);
    return copy;
  };
  vm.runInContext(fs.readFileSync(path.join(ui, 'engine_bundle.js'), 'utf8'), context);
  const port = { postMessage: (reply) => onReply(Buffer.from(reply)) };
  worker.onmessage({ data: port });
  return (message) => port.onmessage({ data: inside(message) });
}

function main() {
  const found = [];
  let result = { columns: [], cells: [], isDone: false };
  const send = start((reply) => {
    for (const [, message] of fields(reply)) {
      const parts = Object.fromEntries(fields(message));
      if (parts[5]) throw new Error(parts[5].toString());
      if (parts[203]) addResult(parts[203], result);
    }
    if (result.isDone) {
      found.push(rows(result));
      result = { columns: [], cells: [], isDone: false };
    }
  });
  let turn = 0;
  const ask = (request, field, value) => {
    const parts = [number(1, ++turn), number(2, request), ...(value ? [bytes(field, value)] : [])];
    send(bytes(1, Buffer.concat(parts)));
  };
  // The worker is ready when what it has promised itself is done.
  setImmediate(() => {
    const data = fs.readFileSync(trace);
    for (let at = 0; at < data.length; at += 1 << 24) ask(APPEND, 101, data.subarray(at, at + (1 << 24)));
    ask(FINISH);
    for (const query of queries) ask(QUERY, 103, bytes(1, Buffer.from(query)));
    process.stdout.write(JSON.stringify(found));
  });
}

main();
