//! The page of `pyrec heat` in a browser: switches, keys, search and links. The numbers of the
//! program are known from its source.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::sync::OnceLock;

use serde_json::{Value, json};
use support::browser::{Page, open_page};
use support::{Setup, pyrec, run, stderr, stdout};

/// Weighs five times three goods, and sleeps on one line, which is therefore the hottest.
const SHOP: &str = "\
from time import sleep


def price(goods):
    total = 0
    for good in goods:
        total += weigh(good)
    return total


def weigh(good):
    return len(good) * 2


def rest():
    sleep(0.05)


def main():
    for _ in range(5):
        price(['pear', 'fig', 'plum'])
    if not main:
        print('<never>')
    rest()


main()
";

/// The number of the first line of `SHOP` that contains `part`.
fn line(part: &str) -> usize {
    SHOP.lines().position(|line| line.contains(part)).expect("a line contains the part") + 1
}

/// The page of `SHOP`, recorded with line events, for all tests.
fn shop() -> Option<&'static Page> {
    static SHOP_PAGE: OnceLock<Option<Page>> = OnceLock::new();
    SHOP_PAGE.get_or_init(|| Page::of(&["--lines"], "shop.py", SHOP)).as_ref()
}

/// A step that reads a cell of the first line that contains `text`.
fn cell(text: &str, name: &str) -> String {
    format!("read document.querySelector('#line-{} .{name}').textContent", line(text))
}

const CHOSEN: &str = "read Number(document.querySelector('.row.chosen').dataset.line)";

const FILE: &str = "read document.querySelector('#name').firstChild.textContent";

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

#[test]
fn the_page_opens_at_the_hottest_line_and_shows_hits_and_times() {
    let Some(page) = shop() else { return };
    let steps = [
        FILE,
        CHOSEN,
        &cell("total += weigh", "hits"),
        &cell("return len", "hits"),
        &cell("price(['pear'", "hits"),
        &cell("<never>", "hits"),
        &cell("sleep(0.05)", "self"),
        &cell("    rest()", "self"),
        &cell("    rest()", "total"),
        "read document.querySelector('footer').textContent",
        "read document.title",
        "read document.querySelectorAll('#note:not([hidden])').length",
    ];
    let Some(read) = page.open(&steps) else { return };
    assert_eq!(read[..2], [json!("__main__"), json!(line("sleep(0.05)"))]);
    assert_eq!(read[2..6], ["15", "15", "5", ""].map(|hits| json!(hits)));
    let [slept, self_time, total] = [&read[6], &read[7], &read[8]].map(|time| milliseconds(text(time)));
    // Times are rounded to three digits.
    assert!(slept >= 50.0 && total - self_time >= 49.0, "{slept} {self_time} {total}");
    let info = page.recording.report("info", &[]);
    assert!(info.contains(text(&read[9])), "{}", read[9]);
    assert!(text(&read[10]).ends_with("shop.py"), "{}", read[10]);
    assert_eq!(read[11], json!(0));

    // Without a file in the address, the page opens at the hottest line of all files.
    let Some(read) = open_page(page.file(), &["read document.querySelector('.row.chosen').className"]) else {
        return;
    };
    assert!(text(&read[0]).contains(" h12 "), "{}", read[0]);
}

/// Parses a time such as `1.23 ms`. Returns milliseconds.
fn milliseconds(time: &str) -> f64 {
    let (number, unit) = time.split_once(' ').expect("a number and a unit");
    let number: f64 = number.parse().expect("a number");
    number
        * match unit {
            "ns" => 1e-6,
            "µs" => 1e-3,
            "ms" => 1.0,
            _ => 1e3,
        }
}

#[test]
fn switches_select_the_measure_and_the_lines() {
    let Some(page) = shop() else { return };
    let main = format!("read document.querySelector('#line-{}').className", SHOP.lines().count());
    let checked = "read document.querySelector('#measures [aria-checked=true]').textContent";
    let rows =
        "read [...document.querySelectorAll('.row[data-line]')].map((row) => Number(row.dataset.line))";
    let steps = [
        checked,
        &main,
        "click #measures [data-measure=total]",
        checked,
        &main,
        "press 3",
        checked,
        "press 1",
        checked,
        "click #only-relevant",
        rows,
        "read document.querySelectorAll('.row.fold').length",
        "press o",
        rows,
        "press Home",
        CHOSEN,
        "click #largest",
        CHOSEN,
    ];
    let Some(read) = page.open(&steps) else { return };
    assert_eq!(
        [&read[0], &read[2], &read[4], &read[5]],
        [&json!("Self"), &json!("Total"), &json!("Hits"), &json!("Self")]
    );
    // The line calls `main`, so its total time exceeds its self time.
    let [self_level, total_level] = [&read[1], &read[3]].map(|class| level(text(class)));
    assert!(self_level < total_level, "{self_level} {total_level}");
    let hot = read[6].as_array().expect("an array");
    assert!(hot.contains(&json!(line("sleep(0.05)"))) && !hot.contains(&json!(line("<never>"))), "{hot:?}");
    assert!(read[7].as_u64() > Some(0));
    assert_eq!(read[8].as_array().map(Vec::len), Some(SHOP.lines().count()));
    assert_eq!(read[9..], [json!(1), json!(line("sleep(0.05)"))]);
}

/// The step of the colour scale: 7 for the class `row h7`.
fn level(class: &str) -> u32 {
    class.split(['h', ' ']).find_map(|part| part.parse().ok()).expect("every row has a level")
}

#[test]
fn links_lead_to_callees_and_back_to_callers() {
    let Some(page) = shop() else { return };
    let calls = "read [...document.querySelectorAll('.links.calls tbody tr')].map((row) => row.children[0].textContent + ' ' + row.children[2].textContent)";
    let callers = "read [...document.querySelectorAll('.links.callers tbody tr')].map((row) => row.children[0].textContent + ' ' + row.children[2].textContent)";
    let select = format!("click #line-{}", line("total += weigh"));
    let steps = [
        &select,
        calls,
        callers,
        "click .links.calls a",
        CHOSEN,
        callers,
        "click .links.callers a",
        CHOSEN,
        "press Backspace",
        CHOSEN,
        "press c",
        CHOSEN,
        "press Enter",
        CHOSEN,
        "read document.querySelector('#panel h3').textContent",
        "read decodeURIComponent(location.hash)",
    ];
    let Some(read) = page.open(&steps) else { return };
    let (caller, callee) = (line("total += weigh"), line("def weigh"));
    assert_eq!(read[0], json!([format!("15 weigh (__main__:{callee})")]));
    assert_eq!(read[1], json!([format!("5 main (__main__:{})", line("price(['pear'"))]));
    assert_eq!(read[2], json!(callee));
    assert_eq!(read[3], json!([format!("15 price (__main__:{caller})")]));
    assert_eq!(read[4..8], [caller, callee, caller, callee].map(|line| json!(line)));
    assert_eq!(read[8], json!(format!("Line {callee} in weigh, <module>")));
    assert_eq!(read[9], json!(format!("#{}:{callee}", page.program.display())));
}

#[test]
fn the_search_finds_files_functions_and_source() {
    let Some(page) = shop() else { return };
    let found = "read document.querySelector('#search-summary').textContent";
    let results =
        "read [...document.querySelectorAll('#results .line small')].map((place) => place.textContent)";
    let marks = "read [...document.querySelectorAll('#lines mark')].map((mark) => mark.textContent).join('')";
    let steps = [
        "press /",
        "type weigh(good)",
        found,
        results,
        marks,
        "press Enter",
        CHOSEN,
        "press Enter",
        CHOSEN,
        "press Escape",
        "read document.querySelectorAll('mark').length + document.querySelectorAll('#results > *').length",
        "press /",
        "type WEIGH",
        found,
        "press Escape",
        "press /",
        "type shop.py",
        "read document.querySelectorAll('#results .file').length",
    ];
    let Some(read) = page.open(&steps) else { return };
    // `def weigh(good):` and the line that calls it.
    assert_eq!(read[0], json!("0 functions, 2 lines"));
    let lines = [line("total += weigh"), line("def weigh")];
    assert_eq!(read[1], json!(lines.map(|line| format!("__main__:{line}"))));
    assert_eq!(read[2], json!("weigh(good)weigh(good)"));
    assert_eq!(read[3..5], lines.map(|line| json!(line)));
    assert_eq!(read[5..], [json!(0), json!("0 functions, 0 lines"), json!(1)]);
}

#[test]
fn keys_switch_the_theme_the_help_the_line_and_the_file() {
    let Some(page) = shop() else { return };
    let background = "read getComputedStyle(document.body).backgroundColor";
    let open = "read document.querySelector('#help').open";
    let steps = [
        "media prefers-color-scheme light",
        background,
        "press d",
        background,
        "click #theme",
        background,
        "media prefers-color-scheme dark",
        background,
        "press ?",
        open,
        "press Escape",
        open,
        "click #show-keys",
        open,
        "press ?",
        open,
        "press Home",
        "press j",
        "press ArrowDown",
        "press k",
        CHOSEN,
        "press End",
        CHOSEN,
        "press h",
        CHOSEN,
        "press ]",
        FILE,
        "press [",
        FILE,
    ];
    let Some(read) = page.open(&steps) else { return };
    assert!(
        read[0] != read[1] && read[0] == read[2] && read[0] == read[3],
        "a chosen theme overrides that of the system: {read:?}"
    );
    assert_eq!(read[4..8], [true, false, true, false].map(|open| json!(open)));
    assert_eq!(read[8..11], [2, SHOP.lines().count(), line("sleep(0.05)")].map(|line| json!(line)));
    assert!(read[11] != read[12] && read[12] == json!("__main__"), "{read:?}");
}

/// For normal colour vision, protanopia and deuteranopia. The weights are those of luminance after
/// the matrices of Viénot, Brettel and Mollon (1999).
#[test]
fn the_steps_of_the_colour_scale_differ_in_lightness() {
    const LUMINANCE_WEIGHTS: [[f64; 3]; 3] =
        [[0.2126, 0.7152, 0.0722], [0.1046, 0.8233, 0.0722], [0.2700, 0.6578, 0.0722]];
    let Some(page) = shop() else { return };
    let colours = "read Array.from({ length: 12 }, (_, step) => colour(`--h${step + 1}`).match(/[\\d.]+/g).map(Number))";
    let steps = ["media prefers-color-scheme light", colours, "media prefers-color-scheme dark", colours];
    let Some(read) = page.open(&steps) else { return };
    for (colours, is_dark) in read.iter().zip([false, true]) {
        let steps: Vec<[f64; 3]> = serde_json::from_value(colours.clone()).expect("valid JSON");
        for weights in LUMINANCE_WEIGHTS {
            let luminance = |colour: &[f64; 3]| -> f64 {
                colour.iter().zip(weights).map(|(component, weight)| linear(*component) * weight).sum()
            };
            // CIE L*. A difference of 2 is just noticeable.
            let lights: Vec<f64> =
                steps.iter().map(|colour| 116.0 * luminance(colour).cbrt() - 16.0).collect();
            let step = |pair: &[f64]| if is_dark { pair[1] - pair[0] } else { pair[0] - pair[1] };
            assert!(lights.windows(2).all(|pair| step(pair) > 2.0), "{lights:?}");
        }
    }
}

/// The linear intensity of an sRGB component.
fn linear(component: f64) -> f64 {
    let component = component / 255.0;
    if component <= 0.04045 { component / 12.92 } else { ((component + 0.055) / 1.055).powf(2.4) }
}

#[test]
fn without_line_events_the_page_shows_function_entries_and_a_note() {
    let Some(page) = Page::of(&[], "shop.py", SHOP) else { return };
    let steps = [
        "read document.querySelector('.note').textContent",
        "read document.querySelector('#measures').lastElementChild.textContent",
        &cell("def weigh", "hits"),
        &cell("return len", "hits"),
        &cell("def rest", "self"),
        &cell("sleep(0.05)", "self"),
        "click #line-11",
        "read document.querySelector('[data-key=hits]').textContent",
    ];
    let Some(read) = page.open(&steps) else { return };
    assert!(
        text(&read[0]).contains("Lines were not recorded") && text(&read[0]).contains("pyrec record --lines"),
        "{read:?}"
    );
    assert_eq!(read[1..4], ["Entries", "15", "↩ 15"].map(|text| json!(text)));
    assert!(milliseconds(text(&read[4])) >= 50.0, "{}", read[4]);
    assert_eq!(milliseconds(text(&read[5])), 0.0);
    assert!(text(&read[6]).starts_with("unknown"), "{}", read[6]);
}

#[test]
fn a_file_that_changed_on_disk_is_shown_as_it_ran() {
    let Some(setup) = Setup::any() else { return };
    let page = Page::record(&setup, &["--lines"], "shop.py", SHOP);
    let note = "read document.querySelector('#note:not([hidden])')?.textContent ?? ''";
    let source = "read document.querySelector('#line-1 code').textContent";
    fs::write(&page.program, "print('another')\n").expect("the write succeeds");
    page.draw();
    let Some(read) = page.open(&[note, source]) else { return };
    assert_eq!(
        read,
        [
            "This file has changed on disk since. The page shows the source that ran.",
            "from time import sleep"
        ]
    );
}

#[test]
fn without_a_recorded_text_the_page_shows_names_only() {
    let program = "import os, time\ntime.sleep(0.3)\nexec(compile('def f():\\n  return 1\\nf()', '<generated>', 'exec'))\nopen(__file__, 'a').write('#')\n";
    let Some(setup) = Setup::any() else { return };
    let page = Page::record(&setup, &["--lines"], "grows.py", program);
    page.draw();
    let note = "read document.querySelector('#note:not([hidden])')?.textContent ?? ''";
    let rows = "read [...document.querySelectorAll('.row')].map((row) => row.querySelector('code')?.textContent ?? 'fold')";
    let generated = "read location.hash = '#' + encodeURIComponent('<generated>')";
    let grown = format!("read location.hash = '#' + encodeURIComponent('{}')", page.program.display());
    let Some(read) = page.open(&[generated, "press j", note, rows, &grown, "press j", note, rows]) else {
        return;
    };
    assert!(text(&read[1]).starts_with("This code does not come from a file."), "{read:?}");
    assert_eq!(read[2], json!(["f, <module>", "f", "<module>"]));
    assert!(
        text(&read[4]).starts_with(
            "The trace does not contain the source that ran: the file changed during the recording"
        ),
        "{read:?}"
    );
    assert!(!read[5].to_string().contains("import os"), "{}", read[5]);
}

/// As markup, these names would open a dialog or load a picture. [`open_page`] fails on both.
#[test]
fn names_and_texts_are_not_interpreted_as_markup() {
    let malicious = "\
import types
def wild():
    return '</script><script>alert(1)</script><!--'
NAME = '<script>alert(2)</script>'
code = wild.__code__.replace(co_name=NAME)
code = code.replace(co_qualname=NAME) if hasattr(code, 'co_qualname') else code
types.FunctionType(code, globals())()
exec(compile('def f(): pass\\nf()', '\"><img src=x onerror=alert(3)>', 'exec'))
";
    let Some(page) = Page::of(&["--lines"], "'><img src=y onerror=alert(4)> & \u{202e}.py", malicious) else {
        return;
    };
    let steps = [
        "read document.querySelector('#line-3 code').textContent",
        "read document.querySelectorAll('img').length",
        "click #line-7",
        "read document.querySelector('.links.calls td:last-child').textContent",
        "press /",
        "type <",
        "press Enter",
        "press Enter",
        "read [...document.querySelectorAll('#results .function')].some((row) => row.textContent.startsWith('<script>alert(2)'))",
        "press Escape",
        "read [...document.querySelectorAll('#files b')].map((name) => name.textContent).filter((name) => name.includes('img'))",
        "read document.title",
        "read document.querySelectorAll('script:not([type])').length",
    ];
    let Some(read) = page.open(&steps) else { return };
    assert_eq!(read[0], json!("    return '</script><script>alert(1)</script><!--'"));
    assert_eq!(read[1], json!(0));
    assert_eq!(read[2], json!("<script>alert(2)</script> (__main__:2)"));
    assert_eq!(read[3], json!(true));
    assert_eq!(read[4], json!(["\"><img src=x onerror=alert(3)>"]));
    assert!(text(&read[5]).ends_with("'><img src=y onerror=alert(4)> & \\u{202e}.py"), "{}", read[5]);
    assert_eq!(read[6], json!(1));
}

#[test]
fn a_large_file_has_elements_only_for_visible_rows() {
    let body: String =
        (1..5_000).map(|n| format!("def f{n}(x):\n    y = x + {n}\n    return y\n\n")).collect();
    let Some(page) = Page::of(&["--lines"], "large.py", &format!("{body}print(f4321(1))\n")) else { return };
    let rows = "read document.querySelectorAll('.row').length";
    let steps = [
        "press End",
        CHOSEN,
        rows,
        "press PageUp",
        CHOSEN,
        "press /",
        "type y = x + 4321",
        "press Enter",
        CHOSEN,
        "read document.querySelector('.row.chosen .hits').textContent",
        "press Escape",
        "click #minimap",
        "read document.querySelector('#lines').scrollTop > 100000",
        "read dispatchEvent(new Event('beforeprint'))",
        rows,
        "read dispatchEvent(new Event('afterprint'))",
        rows,
    ];
    let Some(read) = page.open(&steps) else { return };
    let all = 4 * 4_999 + 1;
    assert_eq!(read[0], json!(all));
    let few = |rows: &Value| rows.as_u64().is_some_and(|rows| (20..400).contains(&rows));
    assert!(few(&read[1]) && few(&read[9]), "{read:?}");
    assert!(read[2].as_u64().is_some_and(|line| line < all - 10 && line > all - 100), "{}", read[2]);
    assert_eq!(read[3..6], [json!(4 * 4_320 + 2), json!("1"), json!(true)]);
    assert_eq!(read[7], json!(all), "a printed page has all rows");
}

#[test]
fn the_page_is_written_to_a_file_or_standard_output_but_not_over_a_trace() {
    let Some(page) = shop() else { return };
    let folder = page.recording.directory.path();
    let heat = |words: &[&str]| run(pyrec("heat").args(words).current_dir(folder));
    let printed = heat(&["-"]);
    assert_eq!(fs::read(page.file()).expect("the file is readable"), printed.stdout);
    let refused = heat(&["pyrec.parquet"]);
    let stderr = stderr(&refused);
    assert!(!refused.status.success() && stderr.contains("pyrec heat -i pyrec.parquet"), "{stderr}");
    for words in [["--json", "out.html"], ["--text=f", "out.html"], ["--json", "--text"]] {
        assert_eq!(heat(&words).status.code(), Some(1), "{words:?}");
    }
    let list = heat(&["--text", "-n", "3"]);
    assert!(stdout(&list).contains("sleep(0.05)"), "{list:?}");
}
