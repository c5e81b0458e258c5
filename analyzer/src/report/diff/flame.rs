//! The differential flame graph: the call paths of both sides in one picture, red for more time and
//! blue for less.
//!
//! A frame is as wide as the longer of its sides, so a path that exists on one side only is still
//! shown. Its text has the times of both sides. The trust line of each run is below the picture.

use std::cmp::Reverse;
use std::io::Write;

use inferno::flamegraph::color::{Color, PaletteMap};

use super::format::count;
use super::summary::{notes, trust_lines};
use crate::measure::diff::{CallPath, CallsDiff, CountVerdict, Diff, MIN_CHANGE, Samples};
use crate::measure::{Folded, FoldedFrame, Weight};
use crate::report::display::Time;
use crate::report::flame::{self, Stacks};
use crate::tree::{self, Frame};
use crate::{Error, Result};

/// A path whose number of calls changed is at least 1/1,000 of the total wide.
const VISIBLE_FRACTION: u64 = 1_000;

/// The number of paths that are widened at most.
const MAX_WIDENED: usize = 100;

/// The height of a line of text, in pixels.
const LINE_PX: usize = 16;

/// The colour of paths without a known difference.
const SAME: Color = Color { r: 240, g: 240, b: 240 };

/// The weakest strength of a colour for a known difference, so that it is visible.
const MIN_STRENGTH: f64 = 0.25;

/// The factor for the strength of a colour that is based on one run a side.
const ONE_RUN_FACTOR: f64 = 0.35;

/// Writes the picture.
///
/// # Errors
///
/// [`Error::NothingToDraw`] if neither side has time, and the errors of writing.
pub fn write_flame(diff: &Diff, out: &mut impl Write) -> Result<()> {
    let Some(trust) = diff.trust.first().cloned() else { return Err(Error::NothingToDraw) };
    let mut colours = PaletteMap::default();
    let widths = widths(diff);
    if tree::saturating_sum(widths.iter().copied()) == 0 {
        return Err(Error::NothingToDraw);
    }
    let mut frames = Vec::with_capacity(diff.paths.len());
    for (CallPath { parent, function, calls }, own) in diff.paths.iter().zip(widths) {
        let label = format!("{} {}", diff.alignment.functions[*function].label(), sides_text(calls));
        colours.insert(flame::frame_text(&label), colour(calls, diff.has_evidence()));
        frames.push(FoldedFrame { parent: *parent, frame: Frame::Thread, label, own, is_found: false });
    }
    let folded = Folded { frames, weight: Weight::Time, is_reversed: false, command: Vec::new(), trust };
    let options = flame::FlameOptions { title: Some(title(diff).into()), ..flame::FlameOptions::default() };
    let stacks = Stacks::of(&folded);
    let mut inferno_options = flame::inferno_options(&folded, &options, &stacks);
    inferno_options.subtitle = None;
    inferno_options.palette_map = Some(&mut colours);
    let mut picture = Vec::new();
    flame::draw(inferno_options, &stacks, &mut picture)?;
    let picture = with_lines_below(&String::from_utf8_lossy(&picture), &lines_below(diff));
    out.write_all(picture.as_bytes()).map_err(Error::Write)
}

/// The own width of each path: the longer of its sides. The [`MAX_WIDENED`] paths with the largest
/// changes, of those whose number of calls changed, are widened until they are visible.
fn widths(diff: &Diff) -> Vec<u64> {
    let longer = |path: &CallPath| {
        let own = &path.calls.self_ns.samples;
        own.old_median().max(own.new_median())
    };
    let mut widths: Vec<u64> = diff.paths.iter().map(longer).collect();
    let min_width = tree::saturating_sum(widths.iter().copied()) / VISIBLE_FRACTION;
    let is_changed = |&path: &usize| diff.paths[path].calls.calls.verdict() == CountVerdict::Changed;
    let mut changed: Vec<usize> = (0..widths.len()).filter(is_changed).collect();
    changed.sort_by_key(|&path| Reverse(diff.paths[path].calls.total_ns.samples.distance()));
    for path in changed.into_iter().take(MAX_WIDENED) {
        widths[path] = widths[path].max(min_width);
    }
    widths
}

/// The title: a legend of the colours.
fn title(diff: &Diff) -> &'static str {
    match diff.has_evidence() {
        true => "red: more or new, blue: less or gone, grey: no difference",
        false => "red: more or new, blue: less or gone, pale: one run of a side, no evidence",
    }
}

/// The lines below the picture: reasons why the sides are not comparable, and the trust line of
/// each run.
fn lines_below(diff: &Diff) -> Vec<String> {
    let reasons = notes(diff).into_iter().filter(|note| note.starts_with("not comparable"));
    reasons.chain(trust_lines(diff)).collect()
}

/// Adds lines of text below a picture. A picture whose height cannot be parsed is returned as it
/// is.
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
    // The heights of the picture and of its background.
    let above = picture[..end].replacen(&format!("height=\"{height}\""), &format!("height=\"{higher}\""), 2);
    let above = above.replacen(&format!(" {height}\""), &format!(" {higher}\""), 1);
    let below: String = lines.iter().zip(1..).map(text).collect();
    format!("{above}{below}{}", &picture[end..])
}

/// The times of both sides, and the calls if their number changed.
fn sides_text(CallsDiff { calls, total_ns, .. }: &CallsDiff) -> String {
    let Samples { old, new } = calls;
    let [old_ns, new_ns] = [total_ns.samples.old_median(), total_ns.samples.new_median()].map(Time);
    match calls.verdict() {
        CountVerdict::Changed if calls.old_median() == 0 => format!("new, {new_ns}"),
        CountVerdict::Changed if calls.new_median() == 0 => format!("gone, was {old_ns}"),
        CountVerdict::Changed => format!("{old_ns} → {new_ns}, {} → {} calls", count(old), count(new)),
        CountVerdict::Same | CountVerdict::Varies => format!("{old_ns} → {new_ns}"),
    }
}

/// The strength of a path's colour, from -1 (less) to 1 (more). It follows the calls if their
/// number changed, else the time if there is evidence of a change. Without evidence, because a side
/// has one run, times give a weak colour.
fn strength(calls: &CallsDiff, has_evidence: bool) -> f64 {
    let total = relative_change(&calls.total_ns.samples);
    match calls.calls.verdict() {
        CountVerdict::Changed if calls.calls.is_one_sided() => relative_change(&calls.calls),
        CountVerdict::Changed => at_least(relative_change(&calls.calls), MIN_STRENGTH),
        _ if calls.total_ns.has_changed() => at_least(total, MIN_STRENGTH),
        _ if has_evidence || total.abs() < MIN_CHANGE => 0.0,
        _ => total * ONE_RUN_FACTOR,
    }
}

/// A strength that is not weaker than `least`, with its sign.
fn at_least(strength: f64, least: f64) -> f64 {
    strength.abs().max(least).copysign(strength)
}

/// The change as a fraction of the larger side.
fn relative_change(samples: &Samples) -> f64 {
    let (old, new) = (samples.old_median() as f64, samples.new_median() as f64);
    if old == new { 0.0 } else { (new - old) / old.max(new) }
}

fn colour(calls: &CallsDiff, has_evidence: bool) -> Color {
    let strength = strength(calls, has_evidence);
    let blend = |from: u8, to: u8| {
        (f64::from(from) + (f64::from(to) - f64::from(from)) * strength.abs()).round() as u8
    };
    let [r, g, b] = if strength < 0.0 { [60, 110, 255] } else { [255, 70, 50] };
    if strength == 0.0 {
        SAME
    } else {
        Color { r: blend(SAME.r, r), g: blend(SAME.g, g), b: blend(SAME.b, b) }
    }
}

#[cfg(test)]
mod tests {
    //! Colours, texts, and the lines below the picture.

    use super::*;
    use crate::measure::diff::TimeChange;

    fn calls(old: (u64, u64), new: (u64, u64)) -> CallsDiff {
        let samples = |old, new| Samples { old: vec![old], new: vec![new] };
        let times = || TimeChange::new(samples(old.1, new.1));
        CallsDiff { calls: samples(old.0, new.0), self_ns: times(), total_ns: times() }
    }

    #[test]
    fn a_colour_is_as_strong_as_its_evidence() {
        for (old, new, expected) in [
            ((5, 100), (5, 100), 0.0),
            // Less than `MIN_CHANGE`, which is 5 %.
            ((5, 100), (5, 104), 0.0),
            ((5, 100), (5, 200), 0.5 * ONE_RUN_FACTOR),
            ((5, 100), (5, 50), -0.5 * ONE_RUN_FACTOR),
            ((0, 0), (5, 100), 1.0),
            ((5, 100), (0, 0), -1.0),
            ((2, 100), (4, 100), 0.5),
            ((100, 9), (99, 90), -MIN_STRENGTH),
        ] {
            assert_eq!(strength(&calls(old, new), false), expected, "{old:?} {new:?}");
        }
        assert_eq!(strength(&calls((5, 100), (5, 200)), true), 0.0);
        let Color { r, g, b } = colour(&calls((5, 100), (0, 0)), false);
        assert_eq!((r, g, b), (60, 110, 255));
    }

    #[test]
    fn a_frame_has_the_times_of_both_sides() {
        let text = |old, new| sides_text(&calls(old, new));
        assert_eq!(text((1, 1_000), (1, 2_000)), "1.00 µs → 2.00 µs");
        assert_eq!(text((1, 1_000), (2, 2_000)), "1.00 µs → 2.00 µs, 1 → 2 calls");
        assert_eq!(text((0, 0), (2, 2_000)), "new, 2.00 µs");
        assert_eq!(text((2, 2_000), (0, 0)), "gone, was 2.00 µs");
    }

    #[test]
    fn lines_are_added_below_the_picture() {
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
