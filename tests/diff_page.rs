//! The page of `pyrec diff --heat` in a browser, with two versions of a program whose hits are
//! known from their source.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Value, json};
use support::browser::open_page;
use support::{Setup, pyrec, run, stderr, stdout};
use tempfile::TempDir;

/// Calls `price` five times; each call weighs and gives away three goods.
const OLD: &str = "\
def weigh(good):
    return len(good) * 2


def give(good):
    return 1


def price(goods):
    total = 0
    for good in goods:
        total += weigh(good)
        total -= give(good)
    return total


def main():
    for _ in range(5):
        price(['pear', 'fig', 'plum'])
    return 'never here'


main()
";

/// Calls `price` seven times; each call weighs three goods and notes the total.
const NEW: &str = "\
def weigh(good):
    return len(good) * 2


def price(goods):
    total = 0
    for good in goods:
        total += weigh(good)
    note(total)
    return total


def note(total):
    if total < 0:
        print('<never>')


def main():
    for _ in range(7):
        price(['pear', 'fig', 'plum'])
    return 'never here'


main()
";

/// The number of the first line that contains `part`.
fn line(text: &str, part: &str) -> usize {
    text.lines().position(|line| line.contains(part)).expect("a line contains the part") + 1
}

/// Two recorded versions of a program, and the page that compares them.
struct DiffPage {
    folder: TempDir,
    name: String,
}

impl DiffPage {
    fn of(options: &[&str], name: &str, texts: [&str; 2]) -> Option<DiffPage> {
        let Setup { python, .. } = Setup::any()?;
        let page =
            DiffPage { folder: tempfile::tempdir().expect("a temporary directory"), name: name.to_owned() };
        for (side, text) in ["old", "new"].into_iter().zip(texts) {
            fs::create_dir(page.path(side)).expect("the directory is created");
            fs::write(page.path(side).join(name), text).expect("the write succeeds");
            let mut command = pyrec("record");
            command.args(["-q", "-o", &format!("{side}.parquet")]).args(options).arg("--");
            command.arg(&python.program).arg(page.path(side).join(name));
            assert!(run(command.current_dir(page.folder.path())).status.success());
        }
        page.draw();
        Some(page)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn draw(&self) {
        let output = run(pyrec("diff")
            .args(["old.parquet", "new.parquet", "--heat", "out.html"])
            .current_dir(self.folder.path()));
        assert!(
            output.status.success() && stdout(&output).ends_with("\nopen out.html in a browser\n"),
            "{output:?}"
        );
    }

    /// Opens the page at the program's file.
    fn open(&self, steps: &[&str]) -> Option<Vec<Value>> {
        let program = self.path("new").join(&self.name);
        open_page(format!("{}#{}", self.path("out.html").display(), program.display()), steps)
    }
}

fn shop() -> Option<&'static DiffPage> {
    static SHOP: OnceLock<Option<DiffPage>> = OnceLock::new();
    SHOP.get_or_init(|| DiffPage::of(&["--lines"], "shop.py", [OLD, NEW])).as_ref()
}

/// A step that reads the cells of a row: both hits, the change, both line numbers, the sign.
fn row(name: &str) -> String {
    format!(
        "read [...document.querySelectorAll('#line-{name} .cell')].map((cell) => cell.textContent).join('|')"
    )
}

const CHOSEN: &str = "read document.querySelector('.row.chosen').id";

const FILE: &str = "read document.querySelector('#name').firstChild.textContent";

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

#[test]
fn every_line_shows_its_hits_on_both_sides() {
    let Some(page) = shop() else { return };
    let removed = format!("-{}", line(OLD, "total -= give"));
    let called = format!("-{}", line(OLD, "return 1"));
    let lines = [
        &removed,
        &called,
        &line(NEW, "return len").to_string(),
        &line(NEW, "total += weigh").to_string(),
        &line(NEW, "note(total)").to_string(),
        &line(NEW, "<never>").to_string(),
        &line(NEW, "never here").to_string(),
    ];
    let rows = lines.map(|name| row(name));
    let mut steps: Vec<&str> = vec![FILE, CHOSEN];
    steps.extend(rows.iter().map(String::as_str));
    let sums = "read document.querySelector('[data-sum=hits]').textContent";
    let order = "read [...document.querySelectorAll('.row')].map((row) => row.id)";
    let trust = "read [...document.querySelectorAll('footer div')].map((line) => line.textContent)";
    let decoration =
        format!("read getComputedStyle(document.querySelector('#line-{removed} code')).textDecorationLine");
    steps.extend([
        sums,
        order,
        trust,
        &decoration,
        "read document.querySelectorAll('#note:not([hidden])').length",
    ]);
    let Some(read) = page.open(&steps) else { return };
    // The page opens at the line with the largest change: fifteen calls were removed.
    assert_eq!(read[0], json!("__main__"));
    assert!([&removed, &called].iter().any(|name| read[1] == json!(format!("line-{name}"))), "{}", read[1]);
    let numbers = |part: &str| format!("{}|{}", line(OLD, part), line(NEW, part));
    assert_eq!(
        read[2..9],
        [
            format!("15|0|−15|{}||−", line(OLD, "total -= give")),
            format!("15|0|−15|{}||−", line(OLD, "return 1")),
            format!("15|21|+6|{}|", numbers("return len")),
            format!("15|21|+6|{}|", numbers("total += weigh")),
            format!("0|7|+7||{}|+", line(NEW, "note(total)")),
            format!("||||{}|+", line(NEW, "<never>")),
            format!("1|1||{}|", numbers("never here")),
        ]
    );
    // Removed lines are at their former places.
    let order = read[10].as_array().expect("an array");
    let at =
        |name: &str| order.iter().position(|row| *row == format!("line-{name}")).expect("the line has a row");
    assert!(at(lines[3]) + 1 == at(&removed) && at(&removed) + 1 == at(lines[4]), "{order:?}");
    let sums = text(&read[9]);
    assert!(sums.starts_with("hits ") && sums.contains(" → "), "{sums}");
    for (line, side) in read[11].as_array().expect("an array").iter().zip(["old", "new"]) {
        let info = run(pyrec("info").arg("-i").arg(page.path(&format!("{side}.parquet"))));
        let trust = text(line).strip_prefix(&format!("{side}: ")).expect("the line names the side");
        assert!(stdout(&info).contains(trust), "{trust}");
    }
    assert_eq!(read[12..], [json!("line-through"), json!(0)]);
}

/// With one run of each side, times of lines that both sides have give no evidence, so only added
/// and removed lines are coloured.
#[test]
fn switches_select_the_measure_and_the_lines() {
    let Some(page) = shop() else { return };
    let class = |name: String| format!("read document.querySelector('#line-{name}').className");
    let [kept, removed, added] = [
        class(line(NEW, "return len").to_string()),
        class(format!("-{}", line(OLD, "return 1"))),
        class(line(NEW, "note(total)").to_string()),
    ];
    let checked = "read document.querySelector('#measures [aria-checked=true]').textContent";
    let change =
        format!("read document.querySelector('#line-{} .change').textContent", line(NEW, "return len"));
    let verdict = "read document.querySelector('[data-key=self_ns] .verdict').textContent";
    let choose = format!("click #line-{}", line(NEW, "return len"));
    let names = "read [...document.querySelectorAll('.row[data-line]')].map((row) => row.id)";
    let steps = [
        &kept,
        "click #measures [data-measure=self]",
        checked,
        &kept,
        &removed,
        &added,
        &change,
        &choose,
        verdict,
        "press 2",
        checked,
        "press 3",
        checked,
        "click #only-relevant",
        names,
        "press o",
        names,
        "press Home",
        CHOSEN,
        "click #largest",
        CHOSEN,
        "press End",
        "press p",
        CHOSEN,
    ];
    let Some(read) = page.open(&steps) else { return };
    assert!(text(&read[0]).starts_with("row more l"), "{}", read[0]);
    assert_eq!([&read[1], &read[2]], [&json!("Self"), &json!("row")]);
    assert!(text(&read[3]).starts_with("row less l") && text(&read[3]).contains("removed"), "{}", read[3]);
    assert!(text(&read[4]).starts_with("row more l") && text(&read[4]).ends_with("added"), "{}", read[4]);
    assert!(text(&read[5]).ends_with("ns") || text(&read[5]).ends_with("µs"), "{}", read[5]);
    assert_eq!(read[6..9], ["one run of a side, no evidence", "Total", "Hits"].map(|text| json!(text)));
    let changed = read[9].as_array().expect("an array");
    let contains = |rows: &[Value], name: usize| rows.contains(&json!(format!("line-{name}")));
    assert!(
        contains(changed, line(NEW, "return len")) && !contains(changed, line(NEW, "never here")),
        "{changed:?}"
    );
    assert!(contains(read[10].as_array().expect("an array"), line(NEW, "never here")));
    assert_eq!(read[11], json!("line-1"));
    assert!(text(&read[12]).starts_with("line--"), "{}", read[12]);
    assert_eq!(read[13], json!(format!("line-{}", line(NEW, "price(['pear'"))));
}

#[test]
fn the_search_finds_removed_lines() {
    let Some(page) = shop() else { return };
    let found = "read document.querySelector('#search-summary').textContent";
    let steps = [
        "press /",
        "type give(good)",
        found,
        "press Enter",
        "press Enter",
        CHOSEN,
        "read document.querySelector('#panel h3').textContent",
        "read decodeURIComponent(location.hash)",
        "press Escape",
        "read document.querySelectorAll('mark').length",
        "press d",
        "read document.documentElement.dataset.theme",
        "press ?",
        "read document.querySelector('#help').open",
    ];
    let Some(read) = page.open(&steps) else { return };
    let number = line(OLD, "total -= give");
    assert_eq!(read[0], json!("0 functions, 2 lines"));
    assert_eq!(read[1], json!(format!("line--{number}")));
    assert_eq!(read[2], json!(format!("Line {number} in price, only in the old")));
    assert_eq!(read[3], json!(format!("#{}:-{number}", page.path("new/shop.py").display())));
    assert_eq!(read[4], json!(0));
    assert!(read[5] == json!("dark") || read[5] == json!("light"));
    assert_eq!(read[6], json!(true));
}

/// For normal colour vision, protanopia and deuteranopia: the steps of the scales differ in
/// lightness, and at each step the colours for more and less differ along the blue-yellow axis,
/// which all three distinguish. The matrices are those of Viénot, Brettel and Mollon (1999).
#[test]
fn colours_for_more_and_less_are_distinguishable_without_red_or_green_cones() {
    const SIMULATIONS: [[[f64; 3]; 3]; 3] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.1124, 0.8876, 0.0], [0.1124, 0.8876, 0.0], [0.0040, -0.0040, 1.0]],
        [[0.2928, 0.7072, 0.0], [0.2928, 0.7072, 0.0], [-0.0223, 0.0223, 1.0]],
    ];
    let Some(page) = shop() else { return };
    let colours = |way: &str| {
        format!(
            "read Array.from({{ length: 12 }}, (_, step) => {{ \
             const brush = new OffscreenCanvas(1, 1).getContext('2d'); \
             brush.fillStyle = colour('--heat', `{way} l${{step + 1}}`); brush.fillRect(0, 0, 1, 1); \
             return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3); }})"
        )
    };
    let [more, less] = ["more", "less"].map(colours);
    let [light, dark] = ["light", "dark"].map(|theme| format!("media prefers-color-scheme {theme}"));
    let Some(read) = page.open(&[&light, &more, &less, &dark, &more, &less]) else { return };
    for (sides, is_dark) in read.chunks(2).zip([false, true]) {
        let sides: [Vec<[f64; 3]>; 2] =
            [0, 1].map(|at| serde_json::from_value(sides[at].clone()).expect("valid JSON"));
        for simulation in SIMULATIONS {
            let seen = sides.each_ref().map(|steps| -> Vec<[f64; 3]> {
                let lights = steps.iter().map(|colour| colour.map(linear));
                lights.map(|light| simulation.map(|row| (0..3).map(|at| row[at] * light[at]).sum())).collect()
            });
            for steps in &seen {
                let lights: Vec<f64> = steps
                    .iter()
                    .map(|[r, g, b]| 116.0 * (0.2126 * r + 0.7152 * g + 0.0722 * b).cbrt() - 16.0)
                    .collect();
                let step = |pair: &[f64]| if is_dark { pair[1] - pair[0] } else { pair[0] - pair[1] };
                assert!(lights.windows(2).all(|pair| step(pair) > 1.5), "{is_dark} {lights:?}");
            }
            // The difference of both colours along the blue-yellow axis.
            let blue = |[r, g, b]: [f64; 3]| b.max(0.0).cbrt() - ((r + g) / 2.0).cbrt();
            let distances: Vec<f64> =
                seen[0].iter().zip(&seen[1]).map(|(more, less)| blue(*less) - blue(*more)).collect();
            assert!(
                distances[0] > 0.02 && distances.windows(2).all(|pair| pair[1] > pair[0]),
                "{is_dark} {distances:?}"
            );
        }
    }
}

/// The linear intensity of an sRGB component.
fn linear(component: f64) -> f64 {
    let component = component / 255.0;
    if component <= 0.04045 { component / 12.92 } else { ((component + 0.055) / 1.055).powf(2.4) }
}

#[test]
fn without_line_events_function_entries_are_compared() {
    let Some(page) = DiffPage::of(&[], "shop.py", [OLD, NEW]) else { return };
    let steps = [
        "read [...document.querySelectorAll('.note:not(.compared)')].map((note) => note.textContent).join('')",
        "read document.querySelector('#measures').lastElementChild.textContent",
        &row(&line(NEW, "def weigh").to_string()),
        &row(&format!("-{}", line(OLD, "def give"))),
        &row(&line(NEW, "def note").to_string()),
    ];
    let Some(read) = page.open(&steps) else { return };
    assert!(text(&read[0]).contains("pyrec record --lines"), "{}", read[0]);
    assert_eq!(
        read[1..],
        [
            "Entries".to_owned(),
            // Includes the entry of the module, which is also on line 1.
            "16|22|+6|1|1|".into(),
            format!("15|0|−15|{}||−", line(OLD, "def give")),
            format!("0|7|+7||{}|+", line(NEW, "def note")),
        ]
    );
}

/// The page shows the recorded text, not that on disk. A file that changed while it ran has no
/// recorded text.
#[test]
fn no_text_is_shown_that_did_not_run() {
    let grows = "import time\ntime.sleep(0.3)\nopen(__file__, 'a').write('#')\n";
    let Some(page) = DiffPage::of(&["--lines"], "grows.py", [grows, "import time\ntime.sleep(0.1)\n"]) else {
        return;
    };
    fs::write(page.path("new/grows.py"), "print('another')\n").expect("the write succeeds");
    page.draw();
    let note = "read document.querySelector('#note:not([hidden])')?.textContent ?? ''";
    let shown = "read document.querySelector('#lines').textContent";
    let Some(read) = page.open(&[note, shown]) else { return };
    assert_eq!(
        read[0],
        json!(
            "The source text of the old side is unknown: its lines are matched by number only. This file has changed on \
             disk since. The page shows the source that ran."
        )
    );
    assert!(!text(&read[1]).contains("another") && text(&read[1]).contains("time.sleep(0.1)"), "{}", read[1]);
}

/// As markup, these names would open a dialog or load a picture. [`open_page`] fails on both.
#[test]
fn names_and_texts_are_not_interpreted_as_markup() {
    let malicious = "\
import types
def wild(): return '</script><script>alert(1)</script><!--'
NAME = '<script>alert(2)</script>'
code = wild.__code__.replace(co_name=NAME)
code = code.replace(co_qualname=NAME) if hasattr(code, 'co_qualname') else code
types.FunctionType(code, globals())()
";
    let name = "'><img src=y onerror=alert(4)> & \u{202e}.py";
    let Some(page) = DiffPage::of(&["--lines"], name, [&malicious.replace("<!--", "<!-- -->"), malicious])
    else {
        return;
    };
    let steps = [
        "read document.querySelectorAll('img').length",
        "read document.querySelector('#line-2 code').textContent",
        "click #line-2",
        "read document.querySelector('#panel h3').textContent",
        "press /",
        "type <script",
        "press Enter",
        "read document.querySelectorAll('#results .function').length",
        "read document.title",
        "read document.querySelectorAll('script:not([type])').length",
    ];
    let Some(read) = page.open(&steps) else { return };
    assert_eq!(read[..2], [json!(0), json!("def wild(): return '</script><script>alert(1)</script><!--'")]);
    assert!(text(&read[2]).contains("<script>alert(2)</script>"), "{}", read[2]);
    assert_eq!(read[3], json!(1));
    assert!(text(&read[4]).contains("'><img src=y onerror=alert(4)> & \\u{202e}.py"), "{}", read[4]);
    assert_eq!(read[5], json!(1));
}

#[test]
fn a_large_file_has_elements_only_for_visible_rows() {
    let function = |n: usize| format!("def f{n}(x):\n    y = x + {n}\n    return y\n\n");
    let body: String = (0..5_000).map(function).collect();
    let [old, new] = [4_000, 4_321].map(|left_out| body.replace(&function(left_out), ""));
    let [old, new] = [format!("{old}f4500(1)\n"), format!("{new}f4500(1)\nf4500(1)\n")];
    let Some(page) = DiffPage::of(&["--lines"], "large.py", [&old, &new]) else { return };
    let rows = "read document.querySelectorAll('.row').length";
    let steps = [
        "press /",
        "type y = x + 4500",
        "press Enter",
        &row(&line(&new, "y = x + 4500").to_string()),
        rows,
        "press Escape",
        "press /",
        "type y = x + 4321",
        "press Enter",
        CHOSEN,
        "press Escape",
        "press End",
        CHOSEN,
        rows,
    ];
    let Some(read) = page.open(&steps) else { return };
    let few = |rows: &Value| rows.as_u64().is_some_and(|rows| (20..400).contains(&rows));
    assert!(few(&read[1]) && few(&read[4]), "{read:?}");
    let both = [line(&old, "y = x + 4500"), line(&new, "y = x + 4500")];
    assert_eq!(read[0], json!(format!("1|2|+1|{}|{}|", both[0], both[1])));
    assert_eq!(read[2], json!(format!("line--{}", line(&old, "y = x + 4321"))));
    assert_eq!(read[3], json!(format!("line-{}", new.lines().count())));
}

#[test]
fn the_page_is_written_to_a_file_or_standard_output_but_not_over_a_trace() {
    let Some(page) = shop() else { return };
    let diff = |words: &[&str]| {
        run(pyrec("diff").args(["old.parquet", "new.parquet"]).args(words).current_dir(page.folder.path()))
    };
    let printed = diff(&["--heat", "-"]);
    assert_eq!(fs::read(page.path("out.html")).expect("the file is readable"), printed.stdout);
    let refused = diff(&["--heat", "new.parquet"]);
    let stderr = stderr(&refused);
    assert!(!refused.status.success() && stderr.contains("new.parquet would be replaced"), "{stderr}");
    for words in [["--heat", "x.html", "--json"], ["--heat", "x.html", "--markdown"]] {
        assert_eq!(diff(&words).status.code(), Some(1), "{words:?}");
    }
}
