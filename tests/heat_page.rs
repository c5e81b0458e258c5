//! `pyrec heat`'s page in a browser: switches, keys, search and links do what they say, and the numbers are those of the
//! program, which are known without us.

#![cfg(feature = "record")]

mod support;

use std::fs;
use std::sync::OnceLock;

use serde_json::{Value, json};
use support::browser::{Page, visit};
use support::{Subject, pyrec, run};

/// Its lines are counted by hand: five times three goods are weighed. It sleeps on one line, so that is the hottest.
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

/// Where in it something stands.
fn line(text: &str) -> usize {
    SHOP.lines().position(|line| line.contains(text)).expect("it is there") + 1
}

/// The shop with its lines, recorded once for all tests here.
fn shop() -> Option<&'static Page> {
    static SHOP_PAGE: OnceLock<Option<Page>> = OnceLock::new();
    SHOP_PAGE.get_or_init(|| Page::of(&["--lines"], "shop.py", SHOP)).as_ref()
}

/// Reads a number of a line.
fn cell(text: &str, name: &str) -> String {
    format!("read document.querySelector('#line-{} .{name}').textContent", line(text))
}

const CHOSEN: &str = "read Number(document.querySelector('.row.chosen').dataset.line)";

const FILE: &str = "read document.querySelector('#name').firstChild.textContent";

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[test]
fn the_page_opens_on_the_hottest_line_and_tells_hits_and_times() {
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
    let Some(read) = page.visit(&steps) else { return };
    assert_eq!(read[..2], [json!("__main__"), json!(line("sleep(0.05)"))]);
    assert_eq!(read[2..6], ["15", "15", "5", ""].map(|hits| json!(hits)));
    let [slept, own, total] = [&read[6], &read[7], &read[8]].map(|time| milliseconds(text(time)));
    // To three digits.
    assert!(slept >= 50.0 && total - own >= 49.0, "{slept} {own} {total}");
    let trust = String::from_utf8(run(pyrec("info").arg("-i").arg(page.recording.trace())).stdout);
    assert!(trust.expect("text").contains(text(&read[9])), "{}", read[9]);
    assert!(text(&read[10]).ends_with("shop.py"), "{}", read[10]);
    assert_eq!(read[11], json!(0));

    // Without an address it opens on the hottest line of all, whichever that was.
    let Some(read) = visit(page.file(), &["read document.querySelector('.row.chosen').className"]) else {
        return;
    };
    assert!(text(&read[0]).contains(" h12 "), "{}", read[0]);
}

/// `1.23 ms` into a number.
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
fn switches_choose_what_is_hot() {
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
    let Some(read) = page.visit(&steps) else { return };
    assert_eq!(
        [&read[0], &read[2], &read[4], &read[5]],
        [&json!("Self"), &json!("Total"), &json!("Hits"), &json!("Self")]
    );
    // What it calls takes long, and it does nothing itself.
    let [own, total] = [&read[1], &read[3]].map(|class| level(text(class)));
    assert!(own < total, "{own} {total}");
    let hot = read[6].as_array().expect("lines");
    assert!(hot.contains(&json!(line("sleep(0.05)"))) && !hot.contains(&json!(line("<never>"))), "{hot:?}");
    assert!(read[7].as_u64() > Some(0));
    assert_eq!(read[8].as_array().map(Vec::len), Some(SHOP.lines().count()));
    assert_eq!(read[9..], [json!(1), json!(line("sleep(0.05)"))]);
}

/// The step of the colour scale in `row h7`.
fn level(class: &str) -> u32 {
    class.split(['h', ' ']).find_map(|part| part.parse().ok()).expect("every line has one")
}

#[test]
fn calls_are_followed_there_and_back() {
    let Some(page) = shop() else { return };
    let calls = "read [...document.querySelectorAll('.links.calls tbody tr')].map((row) => row.children[0].textContent + ' ' + row.children[2].textContent)";
    let callers = "read [...document.querySelectorAll('.links.callers tbody tr')].map((row) => row.children[0].textContent + ' ' + row.children[2].textContent)";
    let weighs = format!("click #line-{}", line("total += weigh"));
    let steps = [
        &weighs,
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
    let Some(read) = page.visit(&steps) else { return };
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
    let Some(read) = page.visit(&steps) else { return };
    // `def weigh(good):` and the line that calls it.
    assert_eq!(read[0], json!("0 functions, 2 lines"));
    let lines = [line("total += weigh"), line("def weigh")];
    assert_eq!(read[1], json!(lines.map(|line| format!("__main__:{line}"))));
    assert_eq!(read[2], json!("weigh(good)weigh(good)"));
    assert_eq!(read[3..5], lines.map(|line| json!(line)));
    assert_eq!(read[5..], [json!(0), json!("0 functions, 0 lines"), json!(1)]);
}

#[test]
fn light_and_dark_and_the_keys() {
    let Some(page) = shop() else { return };
    let paper = "read getComputedStyle(document.body).backgroundColor";
    let open = "read document.querySelector('#help').open";
    let steps = [
        "media prefers-color-scheme light",
        paper,
        "press d",
        paper,
        "click #theme",
        paper,
        "media prefers-color-scheme dark",
        paper,
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
    let Some(read) = page.visit(&steps) else { return };
    assert!(
        read[0] != read[1] && read[0] == read[2] && read[0] == read[3],
        "what was chosen counts: {read:?}"
    );
    assert_eq!(read[4..8], [true, false, true, false].map(|open| json!(open)));
    assert_eq!(read[8..11], [2, SHOP.lines().count(), line("sleep(0.05)")].map(|line| json!(line)));
    assert!(read[11] != read[12] && read[12] == json!("__main__"), "{read:?}");
}

/// Lightness to an eye that sees all colours, and to one that lacks the cones for red or those for green. The weights are
/// those of luminance, behind the matrices of Viénot, Brettel and Mollon (1999).
#[test]
fn the_colours_can_be_told_apart_without_hues() {
    const EYES: [[f64; 3]; 3] =
        [[0.2126, 0.7152, 0.0722], [0.1046, 0.8233, 0.0722], [0.2700, 0.6578, 0.0722]];
    let Some(page) = shop() else { return };
    let colours = "read Array.from({ length: 12 }, (_, step) => colour(`--h${step + 1}`).match(/[\\d.]+/g).map(Number))";
    let steps = ["media prefers-color-scheme light", colours, "media prefers-color-scheme dark", colours];
    let Some(read) = page.visit(&steps) else { return };
    for (colours, is_dark) in read.iter().zip([false, true]) {
        let steps: Vec<[f64; 3]> = serde_json::from_value(colours.clone()).expect("colours");
        for eye in EYES {
            let luminance = |colour: &[f64; 3]| -> f64 {
                colour.iter().zip(eye).map(|(part, weight)| linear(*part) * weight).sum()
            };
            // CIE L*, in which a difference of 2 is just seen.
            let lights: Vec<f64> =
                steps.iter().map(|colour| 116.0 * luminance(colour).cbrt() - 16.0).collect();
            let step = |pair: &[f64]| if is_dark { pair[1] - pair[0] } else { pair[0] - pair[1] };
            assert!(lights.windows(2).all(|pair| step(pair) > 2.0), "{lights:?}");
        }
    }
}

/// A part of a colour of the screen as light.
fn linear(part: f64) -> f64 {
    let part = part / 255.0;
    if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
}

#[test]
fn without_lines_the_page_says_so_and_shows_entries() {
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
    let Some(read) = page.visit(&steps) else { return };
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
fn a_file_that_has_changed_is_shown_as_it_ran() {
    let Some(subject) = Subject::any() else { return };
    let page = Page::record(&subject, &["--lines"], "shop.py", SHOP);
    let note = "read document.querySelector('#note:not([hidden])')?.textContent ?? ''";
    let source = "read document.querySelector('#line-1 code').textContent";
    fs::write(&page.program, "print('another')\n").expect("it is written");
    page.draw();
    let Some(read) = page.visit(&[note, source]) else { return };
    assert_eq!(
        read,
        [
            "This file has changed on disk since. The page shows the source that ran.",
            "from time import sleep"
        ]
    );
}

#[test]
fn what_the_recording_does_not_hold_is_not_made_up() {
    let program = "import os, time\ntime.sleep(0.3)\nexec(compile('def f():\\n  return 1\\nf()', '<made up>', 'exec'))\nopen(__file__, 'a').write('#')\n";
    let Some(subject) = Subject::any() else { return };
    let page = Page::record(&subject, &["--lines"], "grows.py", program);
    page.draw();
    let note = "read document.querySelector('#note:not([hidden])')?.textContent ?? ''";
    let rows = "read [...document.querySelectorAll('.row')].map((row) => row.querySelector('code')?.textContent ?? 'fold')";
    let made_up = "read location.hash = '#' + encodeURIComponent('<made up>')";
    let grown = format!("read location.hash = '#' + encodeURIComponent('{}')", page.program.display());
    let Some(read) = page.visit(&[made_up, "press j", note, rows, &grown, "press j", note, rows]) else {
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

/// Names and texts that would be markup if anybody read them so. What is run would open a dialog or load a picture, and
/// [`visit`] hears of both.
#[test]
fn names_and_texts_are_data() {
    let text_ = "\
import types
def wild():
    return '</script><script>alert(1)</script><!--'
NAME = '<script>alert(2)</script>'
code = wild.__code__.replace(co_name=NAME)
code = code.replace(co_qualname=NAME) if hasattr(code, 'co_qualname') else code
types.FunctionType(code, globals())()
exec(compile('def f(): pass\\nf()', '\"><img src=x onerror=alert(3)>', 'exec'))
";
    let Some(page) = Page::of(&["--lines"], "'><img src=y onerror=alert(4)> & \u{202e}.py", text_) else {
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
    let Some(read) = page.visit(&steps) else { return };
    assert_eq!(read[0], json!("    return '</script><script>alert(1)</script><!--'"));
    assert_eq!(read[1], json!(0));
    assert_eq!(read[2], json!("<script>alert(2)</script> (__main__:2)"));
    assert_eq!(read[3], json!(true));
    assert_eq!(read[4], json!(["\"><img src=x onerror=alert(3)>"]));
    assert!(text(&read[5]).ends_with("'><img src=y onerror=alert(4)> & \\u{202e}.py"), "{}", read[5]);
    assert_eq!(read[6], json!(1));
}

#[test]
fn a_large_file_has_only_the_rows_that_are_seen() {
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
    let Some(read) = page.visit(&steps) else { return };
    let all = 4 * 4_999 + 1;
    assert_eq!(read[0], json!(all));
    let few = |rows: &Value| rows.as_u64().is_some_and(|rows| (20..400).contains(&rows));
    assert!(few(&read[1]) && few(&read[9]), "{read:?}");
    assert!(read[2].as_u64().is_some_and(|line| line < all - 10 && line > all - 100), "{}", read[2]);
    assert_eq!(read[3..6], [json!(4 * 4_320 + 2), json!("1"), json!(true)]);
    assert_eq!(read[7], json!(all), "on paper all of them");
}

#[test]
fn the_page_goes_where_it_is_told_and_never_over_a_recording() {
    let Some(page) = shop() else { return };
    let folder = page.recording.directory.path();
    let heat = |words: &[&str]| run(pyrec("heat").args(words).current_dir(folder));
    let printed = heat(&["-"]);
    assert_eq!(fs::read(page.file()).expect("it is there"), printed.stdout);
    let refused = heat(&["pyrec.parquet"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("pyrec heat -i pyrec.parquet"), "{said}");
    for words in [["--json", "out.html"], ["--text=f", "out.html"], ["--json", "--text"]] {
        assert_eq!(heat(&words).status.code(), Some(1), "{words:?}");
    }
    let listed = heat(&["--text", "-n", "3"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("sleep(0.05)"), "{listed:?}");
}
