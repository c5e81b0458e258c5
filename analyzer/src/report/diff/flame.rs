//! The call paths of both sides in one picture: what takes more is red, what takes less is blue.
//!
//! A box is as wide as the longer side of it, so what vanished keeps its place. Its words tell both sides' times. How far
//! to trust each run stands below, in a line of its own.

use std::cmp::Reverse;
use std::io::Write;

use inferno::flamegraph::color::{Color, PaletteMap};

use super::cells::count;
use crate::measure::diff::{CallsDiff, CountVerdict, Diff, LEAST_CHANGE, Path, Samples};
use crate::measure::{Folded, FoldedFrame, Weight};
use crate::report::flame::{self, Stacks};
use crate::report::units::Time;
use crate::tree::{self, Frame};
use crate::{Error, Result};

/// What has other calls is at least this part of the whole wide.
const VISIBLE: u64 = 1_000;

/// So many are made wide enough to be seen at most.
const WIDENED: usize = 100;

/// How high a line of text is.
const LINE_PX: usize = 16;

/// What is the same on both sides, as far as anybody can tell.
const SAME: Color = Color { r: 240, g: 240, b: 240 };

/// How strong a colour is at least, so that it is seen.
const FAINTEST: f64 = 0.25;

/// How strong one is at most that stands for times of one run.
const DOUBTFUL: f64 = 0.35;

/// Writes the picture.
pub fn write_flame(diff: &Diff, out: &mut impl Write) -> Result<()> {
    let Some(trust) = diff.trust.first().cloned() else { return Err(Error::NothingToDraw) };
    let mut colours = PaletteMap::default();
    let widths = widths(diff);
    if tree::sum(widths.iter().copied()) == 0 {
        return Err(Error::NothingToDraw);
    }
    let mut frames = Vec::with_capacity(diff.paths.len());
    for (Path { parent, function, calls }, own) in diff.paths.iter().zip(widths) {
        let label = format!("{} {}", diff.alignment.functions[*function].label(), words(calls));
        colours.insert(flame::text(&label), colour(calls, diff.has_evidence()));
        frames.push(FoldedFrame { parent: *parent, frame: Frame::Thread, label, own, is_found: false });
    }
    let folded = Folded { frames, weight: Weight::Time, is_reversed: false, command: Vec::new(), trust };
    let options = flame::Options { title: Some(title(diff).into()), ..flame::Options::default() };
    let stacks = Stacks::of(&folded);
    let mut drawing = flame::drawing(&folded, &options, &stacks);
    drawing.subtitle = None;
    drawing.palette_map = Some(&mut colours);
    let mut picture = Vec::new();
    flame::draw(drawing, &stacks, &mut picture)?;
    let picture = with_lines_below(&String::from_utf8_lossy(&picture), &lines_below(diff));
    out.write_all(picture.as_bytes()).map_err(Error::Write)
}

/// How wide each path is by itself: as the longer side. What has other calls is wide enough to be seen, as long as that
/// leaves room for the rest.
fn widths(diff: &Diff) -> Vec<u64> {
    let longer = |path: &Path| {
        let own = &path.calls.self_ns.samples;
        own.old_median().max(own.new_median())
    };
    let mut widths: Vec<u64> = diff.paths.iter().map(longer).collect();
    let least = tree::sum(widths.iter().copied()) / VISIBLE;
    let is_changed = |&path: &usize| diff.paths[path].calls.calls.verdict() == CountVerdict::Changed;
    let mut changed: Vec<usize> = (0..widths.len()).filter(is_changed).collect();
    changed.sort_by_key(|&path| Reverse(diff.paths[path].calls.total_ns.samples.distance()));
    for path in changed.into_iter().take(WIDENED) {
        widths[path] = widths[path].max(least);
    }
    widths
}

/// What the colours mean.
fn title(diff: &Diff) -> &'static str {
    match diff.has_evidence() {
        true => "red: more or new, blue: less or gone, grey: no difference",
        false => "red: more or new, blue: less or gone, pale: one run of a side, no evidence",
    }
}

/// What stands against the comparison, and how far to trust each run.
fn lines_below(diff: &Diff) -> Vec<String> {
    let notes = super::notes(diff).into_iter().filter(|note| note.starts_with("not comparable"));
    notes.chain(super::trust(diff)).collect()
}

/// A picture that is higher by some lines of text. It is left as it is if nobody can tell how high it is.
fn with_lines_below(picture: &str, lines: &[String]) -> String {
    let height = |picture: &str| -> Option<usize> {
        let root = &picture[picture.find("<svg ")?..];
        root.split_once(" height=\"")?.1.split_once('"')?.0.parse().ok()
    };
    let (Some(height), Some(end)) = (height(picture), picture.rfind("</svg>")) else {
        return picture.to_owned();
    };
    let text = |(line, number): (&String, usize)| {
        let line = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        format!("<text x=\"10\" y=\"{}\">{line}</text>", height + LINE_PX * number)
    };
    let higher = height + LINE_PX * lines.len() + LINE_PX;
    // Of the picture and of its paper.
    let above = picture[..end].replacen(&format!("height=\"{height}\""), &format!("height=\"{higher}\""), 2);
    let above = above.replacen(&format!(" {height}\""), &format!(" {higher}\""), 1);
    let below: String = lines.iter().zip(1..).map(text).collect();
    format!("{above}{below}{}", &picture[end..])
}

/// Both sides of a box.
fn words(CallsDiff { calls, total_ns, .. }: &CallsDiff) -> String {
    let Samples { old, new } = calls;
    let [old_ns, new_ns] = [total_ns.samples.old_median(), total_ns.samples.new_median()].map(Time);
    match calls.verdict() {
        CountVerdict::Changed if calls.old_median() == 0 => format!("new, {new_ns}"),
        CountVerdict::Changed if calls.new_median() == 0 => format!("gone, was {old_ns}"),
        CountVerdict::Changed => format!("{old_ns} → {new_ns}, {} → {} calls", count(old), count(new)),
        CountVerdict::Same | CountVerdict::Varies => format!("{old_ns} → {new_ns}"),
    }
}

/// How much more or less a path is than it was, from -1 to 1: by its calls exactly, by its times where there is
/// evidence, and faintly where one run a side leaves them open.
fn strength(calls: &CallsDiff, has_evidence: bool) -> f64 {
    let total = part(&calls.total_ns.samples);
    match calls.calls.verdict() {
        CountVerdict::Changed if calls.calls.is_one_sided() => part(&calls.calls),
        CountVerdict::Changed => strongest(part(&calls.calls), FAINTEST),
        _ if calls.total_ns.has_changed() => strongest(total, FAINTEST),
        _ if has_evidence || total.abs() < LEAST_CHANGE => 0.0,
        _ => total * DOUBTFUL,
    }
}

fn strongest(strength: f64, least: f64) -> f64 {
    strength.abs().max(least).copysign(strength)
}

/// The change as a part of the larger side.
fn part(samples: &Samples) -> f64 {
    let (old, new) = (samples.old_median() as f64, samples.new_median() as f64);
    if old == new { 0.0 } else { (new - old) / old.max(new) }
}

fn colour(calls: &CallsDiff, has_evidence: bool) -> Color {
    let strength = strength(calls, has_evidence);
    let towards = |from: u8, to: u8| {
        (f64::from(from) + (f64::from(to) - f64::from(from)) * strength.abs()).round() as u8
    };
    let [r, g, b] = if strength < 0.0 { [60, 110, 255] } else { [255, 70, 50] };
    if strength == 0.0 {
        SAME
    } else {
        Color { r: towards(SAME.r, r), g: towards(SAME.g, g), b: towards(SAME.b, b) }
    }
}

#[cfg(test)]
mod tests {
    //! Colours.

    use super::*;
    use crate::measure::diff::Times;

    fn calls(old: (u64, u64), new: (u64, u64)) -> CallsDiff {
        let samples = |old, new| Samples { old: vec![old], new: vec![new] };
        let times = || Times::new(samples(old.1, new.1));
        CallsDiff { calls: samples(old.0, new.0), self_ns: times(), total_ns: times() }
    }

    #[test]
    fn colours_are_as_strong_as_what_is_known() {
        for (old, new, expected) in [
            ((5, 100), (5, 100), 0.0),
            // Less than a twentieth.
            ((5, 100), (5, 104), 0.0),
            ((5, 100), (5, 200), 0.5 * DOUBTFUL),
            ((5, 100), (5, 50), -0.5 * DOUBTFUL),
            ((0, 0), (5, 100), 1.0),
            ((5, 100), (0, 0), -1.0),
            ((2, 100), (4, 100), 0.5),
            ((100, 9), (99, 90), -FAINTEST),
        ] {
            assert_eq!(strength(&calls(old, new), false), expected, "{old:?} {new:?}");
        }
        assert_eq!(strength(&calls((5, 100), (5, 200)), true), 0.0);
        let Color { r, g, b } = colour(&calls((5, 100), (0, 0)), false);
        assert_eq!((r, g, b), (60, 110, 255));
    }

    #[test]
    fn words_tell_both_sides() {
        let told = |old, new| words(&calls(old, new));
        assert_eq!(told((1, 1_000), (1, 2_000)), "1.00 µs → 2.00 µs");
        assert_eq!(told((1, 1_000), (2, 2_000)), "1.00 µs → 2.00 µs, 1 → 2 calls");
        assert_eq!(told((0, 0), (2, 2_000)), "new, 2.00 µs");
        assert_eq!(told((2, 2_000), (0, 0)), "gone, was 2.00 µs");
    }

    #[test]
    fn lines_stand_below_the_picture() {
        let picture = "<?xml?><svg width=\"1200\" height=\"150\" viewBox=\"0 0 1200 150\"><rect height=\"150\"/>\
                       <svg id=\"frames\"><rect height=\"15\"/></svg></svg>";
        assert_eq!(
            with_lines_below(picture, &["a < b".into(), "c".into()]),
            "<?xml?><svg width=\"1200\" height=\"198\" viewBox=\"0 0 1200 198\"><rect height=\"198\"/>\
             <svg id=\"frames\"><rect height=\"15\"/></svg>\
             <text x=\"10\" y=\"166\">a &lt; b</text><text x=\"10\" y=\"182\">c</text></svg>"
        );
    }
}
