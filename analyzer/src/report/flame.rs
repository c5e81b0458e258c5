//! The flame graph, as an SVG picture drawn by inferno.

use std::io::{self, Write};

use inferno::flamegraph::color::{BasicPalette, Color, Palette, PaletteMap};
use inferno::flamegraph::{self, Direction, TextTruncateDirection};

use super::display::{Count, Percent};
use super::trust_line;
use crate::escape::Printable;
use crate::measure::{Folded, Weight};
use crate::tree;
use crate::{Error, Result};

/// Options of the flame graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlameOptions {
    /// Draws callers above callees instead of below.
    pub icicle: bool,
    /// Starts with the frames that have weight of their own, and draws their callers on top of
    /// them.
    pub reverse: bool,
    /// The title. `None` uses the command that was recorded.
    pub title: Option<String>,
}

/// The depth up to which frames are drawn, which is Python's default recursion limit. Deeper frames
/// are added to their caller at this depth.
const MAX_DEPTH: usize = 1_000;

/// The bytes of all stack lines that are passed to inferno. Each line contains all callers.
const MAX_BYTES: usize = 1 << 28;

/// The sum of all weights that are passed to inferno, so that its own sums do not overflow.
const MAX_WEIGHT: u64 = 1 << 62;

/// A frame of less than 1/10,000 of the total would be about a tenth of a pixel wide. It is added
/// to its caller.
const MIN_FRACTION: u64 = 10_000;

/// The colour of frames that match the search pattern, which is that of inferno's own search.
const MATCH_COLOR: Color = Color { r: 230, g: 0, b: 230 };

/// Writes an SVG picture. Its scripts zoom and search; without scripts it is a static picture.
///
/// # Errors
///
/// [`Error::NothingToDraw`] if the total weight is 0, and the errors of writing.
pub fn write(folded: Folded, options: &FlameOptions, out: &mut impl Write) -> Result<()> {
    let total = tree::saturating_sum(folded.frames.iter().map(|frame| frame.own));
    if total == 0 {
        return Err(Error::NothingToDraw);
    }
    let folded = match options.reverse {
        true => folded.reversed(total.div_ceil(MIN_FRACTION), MAX_DEPTH),
        false => folded,
    };
    let stacks = Stacks::of(&folded);
    let mut match_colors = PaletteMap::default();
    for frame in folded.frames.iter().filter(|frame| frame.is_found) {
        match_colors.insert(frame_text(&frame.label), MATCH_COLOR);
    }
    let mut inferno_options = inferno_options(&folded, options, &stacks);
    if match_colors.iter().next().is_some() {
        inferno_options.palette_map = Some(&mut match_colors);
    }
    draw(inferno_options, &stacks, out)
}

/// Draws stacks.
pub(super) fn draw(mut options: flamegraph::Options, stacks: &Stacks, out: &mut impl Write) -> Result<()> {
    let mut out = Unflushed(out);
    flamegraph::from_lines(&mut options, stacks.lines.iter().map(String::as_str), &mut out)?;
    Ok(())
}

/// The options for inferno that all pictures share.
pub(super) fn inferno_options<'a>(
    folded: &Folded,
    options: &FlameOptions,
    stacks: &Stacks,
) -> flamegraph::Options<'a> {
    let mut inferno = flamegraph::Options::default();
    inferno.title = match &options.title {
        Some(title) => Printable(title).to_string(),
        None if folded.command.is_empty() => "pyrec".into(),
        None => Printable(&folded.command.join(" ")).to_string(),
    };
    inferno.subtitle = Some(subtitle(folded, stacks));
    (inferno.count_name, inferno.factor) = match folded.weight {
        Weight::Calls => ("calls".into(), 1.0),
        Weight::Time | Weight::Gc if stacks.total < 10_000_000 => ("ns".into(), 1.0),
        Weight::Time | Weight::Gc => ("µs".into(), 1e-3),
    };
    inferno.direction = if options.icicle { Direction::Inverted } else { Direction::Straight };
    inferno.colors = Palette::Basic(BasicPalette::Hot);
    // The colour depends on the name only: a function has the same colour in every picture.
    inferno.deterministic = true;
    // The width of a letter in the widest common monospaced font, for viewers without scripts.
    inferno.font_width = 0.61;
    // The beginning of a label is the function's name, the end its line number.
    inferno.text_truncate_direction = TextTruncateDirection::Right;
    inferno
}

/// The line under the title: the weight unless it is time, whether frames are reversed or cut, and
/// the trust line.
fn subtitle(folded: &Folded, stacks: &Stacks) -> String {
    let mut parts = Vec::new();
    match folded.weight {
        Weight::Time => {}
        Weight::Calls => parts.push("calls".to_owned()),
        Weight::Gc => parts.push("pauses for garbage collection".to_owned()),
    }
    if folded.is_reversed {
        parts.push("reversed, callers on top".to_owned());
    }
    if let Some(matched) = stacks.matched {
        parts.push(format!("{} found", Percent(matched, stacks.total)));
    }
    if stacks.is_cut {
        parts.push(format!("cut at a depth of {}, or at {} MiB", Count(MAX_DEPTH as u64), MAX_BYTES >> 20));
    }
    parts.push(trust_line(&folded.trust));
    parts.join("; ")
}

/// Collapsed stacks as inferno reads them, `caller;callee 123`, limited in depth, size and number.
pub(super) struct Stacks {
    lines: Vec<String>,
    pub(super) total: u64,
    /// The weight of the frames that match the search pattern and of their callees; `None` if no
    /// frame matches.
    matched: Option<u64>,
    /// Whether frames were left out by [`MAX_DEPTH`] or [`MAX_BYTES`].
    is_cut: bool,
}

impl Stacks {
    /// The stacks of the frames that are deep and wide enough to be drawn.
    pub(super) fn of(folded: &Folded) -> Stacks {
        let totals = folded.totals();
        let is_base = |at: &usize| folded.frames[*at].parent.is_none();
        let total = tree::saturating_sum((0..totals.len()).filter(is_base).map(|at| totals[at]));
        let matched = matched_weight(folded, &totals);
        let mut paths: Vec<DrawnPath> = Vec::new();
        // The path that each frame's own weight is added to.
        let mut path_of_frame: Vec<Option<usize>> = Vec::with_capacity(totals.len());
        let (mut is_cut, mut bytes) = (false, 0);
        for (at, (frame, weight)) in folded.frames.iter().zip(totals).enumerate() {
            let caller = frame.parent.and_then(|parent| path_of_frame[parent]);
            let depth = caller.map_or(0, |caller| paths[caller].depth + 1);
            let len = caller.map_or(0, |caller| paths[caller].len) + frame.label.len() + 1;
            let is_wide = weight.saturating_mul(MIN_FRACTION) >= total;
            let is_drawn = is_wide && depth < MAX_DEPTH && bytes + len <= MAX_BYTES;
            is_cut |= is_wide && !is_drawn;
            path_of_frame.push(if is_drawn {
                bytes += len;
                paths.push(DrawnPath { frame: at, caller, depth, len, own: frame.own });
                Some(paths.len() - 1)
            } else {
                if let Some(caller) = caller {
                    paths[caller].own = paths[caller].own.saturating_add(frame.own);
                }
                caller
            });
        }
        Stacks { lines: lines(folded, &paths), total, matched, is_cut }
    }
}

/// A line for every path that has weight of its own.
fn lines(folded: &Folded, paths: &[DrawnPath]) -> Vec<String> {
    let mut left = MAX_WEIGHT;
    let mut lines = Vec::new();
    for (at, path) in paths.iter().enumerate().filter(|(_, path)| path.own > 0) {
        let own = path.own.min(left);
        left -= own;
        let mut labels: Vec<String> = std::iter::successors(Some(at), |&at| paths[at].caller)
            .map(|at| frame_text(&folded.frames[paths[at].frame].label))
            .collect();
        labels.reverse();
        // inferno skips lines that begin with a number sign.
        let escape = if labels[0].starts_with('#') { "\\" } else { "" };
        lines.push(format!("{escape}{} {own}", labels.join(";")));
    }
    lines
}

/// The total weight of the outermost frames that match the search pattern.
fn matched_weight(folded: &Folded, totals: &[u64]) -> Option<u64> {
    let mut inside: Vec<bool> = Vec::with_capacity(totals.len());
    let mut matched = None;
    for (frame, total) in folded.frames.iter().zip(totals) {
        let is_inside = frame.parent.is_some_and(|parent| inside[parent]);
        if frame.is_found && !is_inside {
            let matched = matched.get_or_insert(0u64);
            *matched = matched.saturating_add(*total);
        }
        inside.push(is_inside || frame.is_found);
    }
    matched
}

/// A call path that is drawn.
struct DrawnPath {
    /// The index of its innermost frame.
    frame: usize,
    /// The index of the path without that frame.
    caller: Option<usize>,
    depth: usize,
    /// The bytes of its labels.
    len: usize,
    /// Its own weight, with that of the frames that are added to it.
    own: u64,
}

/// The text of a frame. Semicolons are replaced, since they separate frames.
pub(super) fn frame_text(label: &str) -> String {
    Printable(&label.replace(';', ":")).to_string()
}

/// A writer that ignores flushes. inferno flushes its writer at the end, but `out` belongs to the
/// caller.
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
    //! The content of the picture.

    use super::*;
    use crate::Filter;
    use crate::measure::FoldedFrame;
    use crate::testing::calls;
    use crate::tree::Frame;

    const SCRIPT: &str = "
        0     7/7  function__entry   /srv/run.py:1:<module>         0
        1000  7/7  function__entry   /srv/run.py:3:C.<locals>.f;g&  3
        3000  7/7  function__return  /srv/run.py:3:C.<locals>.f;g&  4
        4000  7/7  function__return  /srv/run.py:1:<module>         9
    ";

    fn svg(weight: Weight, options: &FlameOptions) -> String {
        let mut out = Vec::new();
        write(Folded::of(&calls(SCRIPT, &Filter::default()), weight), options, &mut out)
            .expect("the flame graph is drawn");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn names_weights_title_and_trust_are_in_the_picture() {
        let svg = svg(Weight::Time, &FlameOptions::default());
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
        assert!(svg(Weight::Calls, &FlameOptions::default()).contains("(1 calls, 50.00%)"));
    }

    #[test]
    fn matches_are_coloured_and_their_percentage_is_shown() {
        let calls = calls(SCRIPT, &Filter::default());
        let mut folded = Folded::of(&calls, Weight::Time);
        folded.find(&"f*".parse().expect("the pattern is valid"), &calls);
        let mut out = Vec::new();
        write(folded, &FlameOptions::default(), &mut out).expect("the flame graph is drawn");
        let svg = String::from_utf8(out).expect("the output is UTF-8");
        assert_eq!(svg.matches("fill=\"rgb(230,0,230)\"").count(), 1);
        assert!(svg.contains(">50.0 % found; trust: "), "{svg}");
    }

    #[test]
    fn a_reversed_graph_starts_with_frames_that_have_own_time() {
        let svg = svg(Weight::Time, &FlameOptions { reverse: true, ..FlameOptions::default() });
        assert!(svg.contains(">reversed, callers on top; trust: "), "{svg}");
        // The module's own 2,000 ns have no caller above them.
        assert_eq!(svg.matches("<title>&lt;module&gt; (__main__) (2,000 ns, 50.00%)</title>").count(), 2);
    }

    #[test]
    fn the_same_trace_gives_the_same_picture() {
        assert_eq!(svg(Weight::Time, &FlameOptions::default()), svg(Weight::Time, &FlameOptions::default()));
    }

    #[test]
    fn an_icicle_graph_has_callers_above_callees() {
        let height = |options: &FlameOptions| {
            let svg = svg(Weight::Time, options);
            let frame = svg.split("<title>&lt;module").nth(1).expect("the frame").to_owned();
            let y = frame
                .split(" y=\"")
                .nth(1)
                .expect("a coordinate")
                .split('"')
                .next()
                .expect("a number")
                .to_owned();
            y.parse::<u32>().expect("a number")
        };
        let icicle = FlameOptions { icicle: true, ..FlameOptions::default() };
        let child = |svg: String| -> u32 {
            let frame = svg.split("<title>C.").nth(1).expect("the frame").to_owned();
            frame.split(" y=\"").nth(1).and_then(|y| y.split('"').next()?.parse().ok()).expect("a number")
        };
        assert!(height(&icicle) < child(svg(Weight::Time, &icicle)));
        assert!(height(&FlameOptions::default()) > child(svg(Weight::Time, &FlameOptions::default())));
    }

    #[test]
    fn an_empty_graph_is_an_error() {
        let folded = Folded::of(&calls("", &Filter::default()), Weight::Time);
        let result = write(folded, &FlameOptions::default(), &mut Vec::new());
        assert!(matches!(result, Err(Error::NothingToDraw)));
    }

    #[test]
    fn deep_and_narrow_frames_are_added_to_their_caller() {
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
