//! The flame graph.

use std::io::{self, Write};

use inferno::flamegraph::color::{BasicPalette, Color, Palette, PaletteMap};
use inferno::flamegraph::{self, Direction, TextTruncateDirection};

use super::escape::Plain;
use super::trust_line;
use super::units::{Count, Share};
use crate::measure::{Folded, Weight};
use crate::tree;
use crate::{Error, Result};

/// How the flame graph is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Callers above what they call, instead of below.
    pub icicle: bool,
    /// What has weight of its own below, and above it who called it.
    pub reverse: bool,
    /// The headline; says what was run if none is given.
    pub title: Option<String>,
}

/// Python stops at a depth of 1,000 by default. What goes deeper is drawn as part of the frame at this depth.
const MAX_DEPTH: usize = 1_000;

/// Nor are more paths drawn than take so many bytes, each with all its callers.
const MAX_BYTES: usize = 1 << 28;

/// More weight cannot be added up by who draws.
const MOST_WEIGHT: u64 = 1 << 62;

/// What is narrower than this part of the picture is a tenth of a pixel wide, so it is drawn as part of its caller.
const NARROWEST: u64 = 10_000;

/// What is looked for, in the colour of the picture's own search.
const FOUND: Color = Color { r: 230, g: 0, b: 230 };

/// Writes an SVG picture that zooms and searches where scripts run and can be read where they do not.
pub fn write(folded: Folded, options: &Options, out: &mut impl Write) -> Result<()> {
    let total = tree::sum(folded.frames.iter().map(|frame| frame.own));
    if total == 0 {
        return Err(Error::NothingToDraw);
    }
    let folded = match options.reverse {
        true => folded.reversed(total.div_ceil(NARROWEST), MAX_DEPTH),
        false => folded,
    };
    let stacks = Stacks::of(&folded);
    let mut found = PaletteMap::default();
    for frame in folded.frames.iter().filter(|frame| frame.is_found) {
        found.insert(text(&frame.label), FOUND);
    }
    let mut drawing = drawing(&folded, options, &stacks);
    if found.iter().next().is_some() {
        drawing.palette_map = Some(&mut found);
    }
    draw(drawing, &stacks, out)
}

/// Draws call paths.
pub(super) fn draw(mut drawing: flamegraph::Options, stacks: &Stacks, out: &mut impl Write) -> Result<()> {
    let mut out = Unflushed(out);
    flamegraph::from_lines(&mut drawing, stacks.lines.iter().map(String::as_str), &mut out)?;
    Ok(())
}

/// How a picture looks, whatever is in it.
pub(super) fn drawing<'a>(folded: &Folded, options: &Options, stacks: &Stacks) -> flamegraph::Options<'a> {
    let mut drawing = flamegraph::Options::default();
    drawing.title = match &options.title {
        Some(title) => Plain(title).to_string(),
        None if folded.command.is_empty() => "pyrec".into(),
        None => Plain(&folded.command.join(" ")).to_string(),
    };
    drawing.subtitle = Some(subtitle(folded, stacks));
    (drawing.count_name, drawing.factor) = match folded.weight {
        Weight::Calls => ("calls".into(), 1.0),
        Weight::Time | Weight::Gc if stacks.total < 10_000_000 => ("ns".into(), 1.0),
        Weight::Time | Weight::Gc => ("µs".into(), 1e-3),
    };
    drawing.direction = if options.icicle { Direction::Inverted } else { Direction::Straight };
    drawing.colors = Palette::Basic(BasicPalette::Hot);
    // The colour of a function is that of its name: the same in every picture.
    drawing.deterministic = true;
    // Where no script measures them: letters of the common monospaced fonts, the widest of them.
    drawing.font_width = 0.61;
    // A name's beginning says more than its line number at the end.
    drawing.text_truncate_direction = TextTruncateDirection::Right;
    drawing
}

/// What a picture shows that is not all time by its callers, and how far to trust it.
fn subtitle(folded: &Folded, stacks: &Stacks) -> String {
    let mut parts = Vec::new();
    match folded.weight {
        Weight::Time => {}
        Weight::Calls => parts.push("calls".to_owned()),
        Weight::Gc => parts.push("pauses for garbage collection".to_owned()),
    }
    if folded.is_reversed {
        parts.push("by where it passed, callers above".to_owned());
    }
    if let Some(found) = stacks.found {
        parts.push(format!("{} found", Share(found, stacks.total)));
    }
    if stacks.is_cut {
        parts.push(format!("cut at a depth of {}, or at {} MiB", Count(MAX_DEPTH as u64), MAX_BYTES >> 20));
    }
    parts.push(trust_line(&folded.trust));
    parts.join("; ")
}

/// Call paths as inferno reads them: `caller;callee 123`.
pub(super) struct Stacks {
    lines: Vec<String>,
    pub(super) total: u64,
    /// The weight of what is looked for, with all that it calls; none if nothing is.
    found: Option<u64>,
    is_cut: bool,
}

impl Stacks {
    pub(super) fn of(folded: &Folded) -> Stacks {
        let totals = folded.totals();
        let is_base = |at: &usize| folded.frames[*at].parent.is_none();
        let total = tree::sum((0..totals.len()).filter(is_base).map(|at| totals[at]));
        let found = found(folded, &totals);
        let mut paths: Vec<Path> = Vec::new();
        // Which path each frame's own weight goes to.
        let mut places: Vec<Option<usize>> = Vec::with_capacity(totals.len());
        let (mut is_cut, mut bytes) = (false, 0);
        for (at, (frame, weight)) in folded.frames.iter().zip(totals).enumerate() {
            let caller = frame.parent.and_then(|parent| places[parent]);
            let depth = caller.map_or(0, |caller| paths[caller].depth + 1);
            let len = caller.map_or(0, |caller| paths[caller].len) + frame.label.len() + 1;
            let is_wide = weight.saturating_mul(NARROWEST) >= total;
            let is_drawn = is_wide && depth < MAX_DEPTH && bytes + len <= MAX_BYTES;
            is_cut |= is_wide && !is_drawn;
            places.push(if is_drawn {
                bytes += len;
                paths.push(Path { at, caller, depth, len, own: frame.own });
                Some(paths.len() - 1)
            } else {
                if let Some(caller) = caller {
                    paths[caller].own = paths[caller].own.saturating_add(frame.own);
                }
                caller
            });
        }
        Stacks { lines: lines(folded, &paths), total, found, is_cut }
    }
}

/// A line for every path that has weight of its own.
fn lines(folded: &Folded, paths: &[Path]) -> Vec<String> {
    let mut left = MOST_WEIGHT;
    let mut lines = Vec::new();
    for (at, path) in paths.iter().enumerate().filter(|(_, path)| path.own > 0) {
        let own = path.own.min(left);
        left -= own;
        let mut labels: Vec<String> = std::iter::successors(Some(at), |&at| paths[at].caller)
            .map(|at| text(&folded.frames[paths[at].at].label))
            .collect();
        labels.reverse();
        // No path may look like a comment.
        let escape = if labels[0].starts_with('#') { "\\" } else { "" };
        lines.push(format!("{escape}{} {own}", labels.join(";")));
    }
    lines
}

/// The weight of the outermost frames that are looked for.
fn found(folded: &Folded, totals: &[u64]) -> Option<u64> {
    let mut inside: Vec<bool> = Vec::with_capacity(totals.len());
    let mut found = None;
    for (frame, total) in folded.frames.iter().zip(totals) {
        let is_inside = frame.parent.is_some_and(|parent| inside[parent]);
        if frame.is_found && !is_inside {
            let found = found.get_or_insert(0u64);
            *found = found.saturating_add(*total);
        }
        inside.push(is_inside || frame.is_found);
    }
    found
}

/// A call path that is drawn.
struct Path {
    /// Its last frame, and the path without it.
    at: usize,
    caller: Option<usize>,
    depth: usize,
    /// Bytes of its labels.
    len: usize,
    own: u64,
}

/// A label as it stands in the picture: it must hold no semicolon, which parts the frames.
pub(super) fn text(label: &str) -> String {
    Plain(&label.replace(';', ":")).to_string()
}

/// inferno flushes what it is given, and drops it: whoever gave it flushes.
struct Unflushed<'a, W>(&'a mut W);

impl<W: Write> Write for Unflushed<'_, W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! What stands in the picture.

    use super::*;
    use crate::Filter;
    use crate::measure::FoldedFrame;
    use crate::script::calls;
    use crate::tree::Frame;

    const SCRIPT: &str = "
        0     7/7  function__entry   /srv/run.py:1:<module>         0
        1000  7/7  function__entry   /srv/run.py:3:C.<locals>.f;g&  3
        3000  7/7  function__return  /srv/run.py:3:C.<locals>.f;g&  4
        4000  7/7  function__return  /srv/run.py:1:<module>         9
    ";

    fn svg(weight: Weight, options: &Options) -> String {
        let mut out = Vec::new();
        write(Folded::of(&calls(SCRIPT, &Filter::default()), weight), options, &mut out).expect("a picture");
        String::from_utf8(out).expect("SVG is text")
    }

    #[test]
    fn names_weights_title_and_trust_are_in_the_picture() {
        let svg = svg(Weight::Time, &Options::default());
        for part in [
            ">python3 run.py</text>",
            ">trust: 4 events, 0 lost, 0 repaired, exited with 0, tracing cost 31 ns per event</text>",
            "<title>&lt;module&gt; (__main__) (4,000 ns, 100.00%)</title>",
            "<title>C.&lt;locals&gt;.f:g&amp; (__main__:3) (2,000 ns, 50.00%)</title>",
            ">&lt;module&gt; (__main__)</text>",
        ] {
            assert!(svg.contains(part), "{part}");
        }
    }

    #[test]
    fn calls_can_be_the_weight() {
        assert!(svg(Weight::Calls, &Options::default()).contains("(1 calls, 50.00%)"));
    }

    #[test]
    fn what_is_looked_for_has_its_colour_and_its_share() {
        let calls = calls(SCRIPT, &Filter::default());
        let mut folded = Folded::of(&calls, Weight::Time);
        folded.find(&"f*".parse().expect("a pattern"), &calls);
        let mut out = Vec::new();
        write(folded, &Options::default(), &mut out).expect("a picture");
        let svg = String::from_utf8(out).expect("SVG is text");
        assert_eq!(svg.matches("fill=\"rgb(230,0,230)\"").count(), 1);
        assert!(svg.contains(">50.0 % found; trust: "), "{svg}");
    }

    #[test]
    fn reversed_it_begins_with_where_time_passed() {
        let svg = svg(Weight::Time, &Options { reverse: true, ..Options::default() });
        assert!(svg.contains(">by where it passed, callers above; trust: "), "{svg}");
        // Of the 2,000 ns of the module itself nobody is above.
        assert_eq!(svg.matches("<title>&lt;module&gt; (__main__) (2,000 ns, 50.00%)</title>").count(), 2);
    }

    #[test]
    fn the_same_trace_gives_the_same_picture() {
        assert_eq!(svg(Weight::Time, &Options::default()), svg(Weight::Time, &Options::default()));
    }

    #[test]
    fn an_icicle_hangs() {
        let height = |options: &Options| {
            let svg = svg(Weight::Time, options);
            let frame = svg.split("<title>&lt;module").nth(1).expect("the frame").to_owned();
            let y = frame
                .split(" y=\"")
                .nth(1)
                .expect("its place")
                .split('"')
                .next()
                .expect("a number")
                .to_owned();
            y.parse::<u32>().expect("a number")
        };
        let icicle = Options { icicle: true, ..Options::default() };
        let child = |svg: String| -> u32 {
            let frame = svg.split("<title>C.").nth(1).expect("the frame").to_owned();
            frame.split(" y=\"").nth(1).and_then(|y| y.split('"').next()?.parse().ok()).expect("a number")
        };
        assert!(height(&icicle) < child(svg(Weight::Time, &icicle)));
        assert!(height(&Options::default()) > child(svg(Weight::Time, &Options::default())));
    }

    #[test]
    fn nothing_cannot_be_drawn() {
        let folded = Folded::of(&calls("", &Filter::default()), Weight::Time);
        let result = write(folded, &Options::default(), &mut Vec::new());
        assert!(matches!(result, Err(Error::NothingToDraw)));
    }

    #[test]
    fn what_is_too_deep_or_too_narrow_is_part_of_its_caller() {
        let mut folded = Folded::of(&calls("", &Filter::default()), Weight::Time);
        let frame =
            |parent, own| FoldedFrame { parent, frame: Frame::Gc, label: "# f".into(), own, is_found: false };
        folded.frames = (0..2_000).map(|at: usize| frame(at.checked_sub(1), 1)).collect();
        folded.frames.push(frame(Some(0), 100_000_000));
        let stacks = Stacks::of(&folded);
        let weights: Vec<u64> = stacks
            .lines
            .iter()
            .map(|line| line.rsplit(' ').next().expect("a weight").parse().expect("one"))
            .collect();
        assert_eq!((weights.as_slice(), stacks.total), ([2_000, 100_000_000].as_slice(), 100_002_000));
        assert!(stacks.lines[0].starts_with("\\# f "));

        folded.frames.pop();
        let stacks = Stacks::of(&folded);
        assert_eq!((stacks.lines.len(), stacks.total, stacks.is_cut), (1_000, 2_000, true));
        assert!(stacks.lines[999].ends_with(" 1001"));
    }
}
