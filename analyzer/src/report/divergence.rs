//! The report of the places where two runs diverge: a diff of calls, or JSON.
//!
//! ```text
//! 1. after 5,023 calls, in thread MainThread
//!    in Shop.sell (shop:30), line 33
//!       main (shop:10), line 14
//!    lines before
//!      shop:32  if item.rare:
//!      shop:33      self.note(item)
//!    calls
//!        Shop.price (shop:20)
//!      - Shop.note (shop:50)                   only in the old run
//!      + Shop.warn (shop:60), raises           only in the new run
//!        Shop.close (shop:70)                  in both
//! ```

use std::io::{self, Write};

use anstyle::{AnsiColor, Reset};
use serde::Serialize;
use similar::{Algorithm, DiffTag, capture_diff_slices};

use super::display::{Count, Instant, plural};
use super::{json, trust_line};
use crate::escape::Printable;
use crate::measure::{
    CallOutcome, CallSummary, Comparability, Divergence, DivergenceSide, Divergences, SourceLocation,
    Sources, Trust, UnpairedThread,
};

/// The number of innermost frames of a stack that are shown.
const INNER: usize = 12;

/// The number of outermost frames of a stack that are shown.
const OUTER: usize = 3;

/// Options of the listing.
#[derive(Clone, Copy, Debug)]
pub struct DivergenceOptions<'a> {
    /// The source texts of the old and the new run.
    pub sources: [&'a Sources; 2],
    /// Whether removed and added rows are coloured.
    pub colours: bool,
}

/// The runs that a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Both,
    Old,
    New,
}

/// Writes the first divergence of each kind, totals, and a trust line for each run.
pub fn write(divergences: &Divergences, options: &DivergenceOptions, out: &mut impl Write) -> io::Result<()> {
    let Divergences { first, kinds, places, calls, only, unpaired, comparability, trust } = divergences;
    for (at, divergence) in first.iter().enumerate() {
        Listing { options, out }.divergence(at + 1, divergence)?;
        writeln!(out)?;
    }
    for (run, unpaired) in ["old", "new"].iter().zip(unpaired) {
        for UnpairedThread { pid, tid, thread, calls } in unpaired {
            let name = thread.as_deref().map_or(String::new(), |name| format!(" {}", Printable(name)));
            let process = if pid == tid { String::new() } else { format!(" of {pid}") };
            let calls = plural(*calls, "call");
            writeln!(out, "only in {run}: thread {tid}{name}{process}, which made {calls}")?;
        }
    }
    match places {
        0 if unpaired.iter().all(Vec::is_empty) => {
            writeln!(out, "old and new make the same {}", plural(calls[0], "call"))?;
        }
        0 => writeln!(out, "in the other threads old and new make the same {}", plural(calls[0], "call"))?,
        _ => {
            let more = kinds.saturating_sub(first.len() as u64);
            if more > 0 {
                writeln!(out, "… and {}; -n 0 lists all", plural(more, "more kind"))?;
            }
            writeln!(
                out,
                "the runs diverge in {}: {} of {} in old are not in new, {} of {} in new are not in old",
                plural(*places, "place"),
                Count(only[0]),
                plural(calls[0], "call"),
                Count(only[1]),
                plural(calls[1], "call"),
            )?;
        }
    }
    writeln!(out, "left out: calls inside garbage collections and the import system")?;
    for reason in &comparability.reasons {
        writeln!(out, "not comparable: {}", Printable(reason))?;
    }
    for note in &comparability.notes {
        writeln!(out, "note: {}", Printable(note))?;
    }
    writeln!(out, "old: {}", trust_line(&trust[0]))?;
    writeln!(out, "new: {}", trust_line(&trust[1]))
}

/// Writes divergences one by one.
struct Listing<'a, W> {
    options: &'a DivergenceOptions<'a>,
    out: &'a mut W,
}

impl<W: Write> Listing<'_, W> {
    fn divergence(&mut self, number: usize, divergence: &Divergence) -> io::Result<()> {
        let Divergence { places, old, new, .. } = divergence;
        writeln!(self.out, "{number}. after {}{}", calls_before(old, new), thread(old))?;
        let time = |side: &DivergenceSide| {
            side.time_ns.map_or("unknown".into(), |time_ns| Instant(time_ns).to_string())
        };
        writeln!(self.out, "   at {} of old, {} of new", time(old), time(new))?;
        self.losses(old, new)?;
        self.stack(old, new)?;
        self.lines(old, new)?;
        self.calls(divergence)?;
        if *places > 1 {
            writeln!(self.out, "   the first of {} like this", plural(*places, "place"))?;
        }
        Ok(())
    }

    /// Writes a warning for each run in which events of the thread were lost before.
    fn losses(&mut self, old: &DivergenceSide, new: &DivergenceSide) -> io::Result<()> {
        for (_, run) in [old, new].into_iter().zip(["old", "new"]).filter(|(side, _)| side.after_loss) {
            writeln!(
                self.out,
                "   events of this thread were lost in {run} before, which may be the only cause"
            )?;
        }
        Ok(())
    }

    /// Writes the stack of the old run, with the line numbers of the new one where they differ.
    fn stack(&mut self, old: &DivergenceSide, new: &DivergenceSide) -> io::Result<()> {
        if old.stack.is_empty() {
            return writeln!(self.out, "   outside any call");
        }
        let hidden = old.stack.len().saturating_sub(INNER + OUTER);
        for (at, location) in old.stack.iter().enumerate() {
            if hidden > 0 && (INNER..INNER + hidden).contains(&at) {
                if at == INNER {
                    writeln!(self.out, "      … {}", plural(hidden as u64, "more call"))?;
                }
                continue;
            }
            let head = if at == 0 { "in" } else { "  " };
            let other = match new.stack.get(at).and_then(|new| new.line) {
                Some(line) if location.line.is_some_and(|old| old != line) => {
                    format!(" (new: line {line})")
                }
                _ => String::new(),
            };
            writeln!(self.out, "   {head} {}{other}", Printable(&location.label))?;
        }
        Ok(())
    }

    /// Writes a diff of the source lines that ran before.
    fn lines(&mut self, old: &DivergenceSide, new: &DivergenceSide) -> io::Result<()> {
        if old.lines.is_empty() && new.lines.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "   lines before")?;
        let [old, new] = [(old, 0), (new, 1)].map(|(side, at)| self.source_lines(&side.lines, at));
        let width = old.iter().chain(&new).map(|[location, _]| location.chars().count()).max().unwrap_or(0);
        // Lines are equal if their texts are, even if their numbers differ.
        let compared =
            |[location, text]: &[String; 2]| if text.is_empty() { location.clone() } else { text.clone() };
        let texts = [&old, &new].map(|lines| lines.iter().map(compared).collect::<Vec<_>>());
        let changes = capture_diff_slices(Algorithm::Myers, &texts[0], &texts[1]);
        // Lines at the beginning that only one run has are no difference: its list reaches back
        // further.
        let first = changes.iter().position(|change| change.tag() == DiffTag::Equal).unwrap_or(0);
        for change in &changes[first..] {
            let (old, new) = (&old[change.old_range()], &new[change.new_range()]);
            let lines = match change.tag() {
                DiffTag::Equal => [(Presence::Both, old), (Presence::Both, &[][..])],
                _ => [(Presence::Old, old), (Presence::New, new)],
            };
            for (presence, [location, text]) in
                lines.into_iter().flat_map(|(presence, lines)| lines.iter().map(move |line| (presence, line)))
            {
                self.row(presence, &format!("{location:<width$}  {text}"))?;
            }
        }
        Ok(())
    }

    /// The location and the source text of each line.
    fn source_lines(&self, lines: &[SourceLocation], side: usize) -> Vec<[String; 2]> {
        let sources = self.options.sources[side];
        let line = |location: &SourceLocation| {
            let number = location.line.unwrap_or(0);
            let file = location.file.as_deref().unwrap_or_default();
            let base = file.rsplit('/').next().unwrap_or(file);
            let text =
                sources.text(file).and_then(|text| text.lines().nth((number as usize).wrapping_sub(1)));
            let module = location.module.as_deref().unwrap_or(base);
            [format!("{}:{number}", Printable(module)), Printable(text.unwrap_or_default()).to_string()]
        };
        lines.iter().map(line).collect()
    }

    /// Writes a diff of the calls around the divergence.
    fn calls(&mut self, divergence: &Divergence) -> io::Result<()> {
        let Divergence { old, new, before, then, .. } = divergence;
        writeln!(self.out, "   calls")?;
        for call in before {
            self.call(Presence::Both, call, false)?;
        }
        for (presence, side) in [(Presence::Old, old), (Presence::New, new)] {
            for (at, call) in side.only.iter().enumerate() {
                let is_opened = side.only.get(at + 1).is_some_and(|next| next.depth > call.depth);
                self.call(presence, call, !is_opened)?;
            }
            let listed: u64 = side.only.iter().filter(|call| call.depth == 0).map(|call| call.times).sum();
            if side.only_count > listed {
                self.row(presence, &format!("… {}", plural(side.only_count - listed, "more call")))?;
            }
        }
        match (then, old.ends, new.ends) {
            (Some(call), ..) => self.call(Presence::Both, call, false),
            (None, Some(old), Some(new)) if old == new => self.row(Presence::Both, ends(old)),
            (None, Some(old), Some(new)) => {
                self.row(Presence::Old, ends(old))?;
                self.row(Presence::New, ends(new))
            }
            _ => Ok(()),
        }
    }

    /// Writes a call. `is_counted` adds the number of calls in it.
    fn call(&mut self, presence: Presence, call: &CallSummary, is_counted: bool) -> io::Result<()> {
        let indent = 2 * call.depth;
        let inner = match call.calls - call.times {
            inner if is_counted && inner > 0 => format!(", with {}", plural(inner, "call")),
            _ => String::new(),
        };
        let times = if call.times > 1 { format!(", {} times", Count(call.times)) } else { String::new() };
        let how = match call.ended {
            CallOutcome::Returned => "",
            CallOutcome::Yielded => ", yields",
            CallOutcome::Raised => ", raises",
            CallOutcome::StillOpen => ", does not end",
            CallOutcome::CutByLoss => ", its end is lost",
        };
        self.row(presence, &format!("{:indent$}{}{times}{inner}{how}", "", Printable(&call.function.label)))
    }

    fn row(&mut self, presence: Presence, text: &str) -> io::Result<()> {
        let (sign, colour) = match presence {
            Presence::Both => (' ', None),
            Presence::Old => ('-', Some(AnsiColor::Red)),
            Presence::New => ('+', Some(AnsiColor::Blue)),
        };
        let row = format!("     {sign} {text}");
        match colour.filter(|_| self.options.colours) {
            Some(colour) => writeln!(self.out, "{}{}{}", colour.render_fg(), row.trim_end(), Reset.render()),
            None => writeln!(self.out, "{}", row.trim_end()),
        }
    }
}

fn calls_before(old: &DivergenceSide, new: &DivergenceSide) -> String {
    match (old.number, new.number) {
        (old, new) if old == new => plural(old, "call"),
        (old, new) => format!("{} and {}", plural(old, "call"), Count(new)),
    }
}

fn thread(side: &DivergenceSide) -> String {
    match &side.thread {
        Some(name) => format!(", in thread {}", Printable(name)),
        None => String::new(),
    }
}

fn ends(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Returned => "returns",
        CallOutcome::Yielded => "yields",
        CallOutcome::Raised => "raises",
        CallOutcome::StillOpen => "does not end: the recording of this thread ends here",
        CallOutcome::CutByLoss => "its end is lost",
    }
}

#[derive(Serialize)]
struct DivergenceJson<'a> {
    comparable: bool,
    #[serde(flatten)]
    comparability: &'a Comparability,
    divergences: &'a [Divergence],
    kinds: u64,
    places: u64,
    calls_old: u64,
    calls_new: u64,
    calls_only_old: u64,
    calls_only_new: u64,
    threads_only_old: &'a [UnpairedThread],
    threads_only_new: &'a [UnpairedThread],
    trust_old: &'a Trust,
    trust_new: &'a Trust,
}

/// Writes one JSON object: the first divergence of each kind under `divergences`, totals, and the
/// trust of each run.
pub fn write_json(divergences: &Divergences, out: &mut impl Write) -> io::Result<()> {
    let Divergences { first, kinds, places, calls, only, unpaired, comparability, trust } = divergences;
    json::write(
        &DivergenceJson {
            comparable: comparability.is_comparable(),
            comparability,
            divergences: first,
            kinds: *kinds,
            places: *places,
            calls_old: calls[0],
            calls_new: calls[1],
            calls_only_old: only[0],
            calls_only_new: only[1],
            threads_only_old: &unpaired[0],
            threads_only_new: &unpaired[1],
            trust_old: &trust[0],
            trust_new: &trust[1],
        },
        out,
    )
}

#[cfg(test)]
mod tests {
    //! Text output for small traces.

    use super::*;
    use crate::{Filter, testing};

    const OLD: &str = r"
        0   7/7  thread__start     -                     0  -  MainThread
        1   7/7  function__entry   /srv/run.py:1:main    1
        2   7/7  line              /srv/run.py:1:main    2
        3   7/7  function__entry   /lib/shop.py:5:price  5
        4   7/7  function__return  /lib/shop.py:5:price  6
        5   7/7  line              /srv/run.py:1:main    3
        6   7/7  function__entry   /lib/shop.py:9:note   9
        7   7/7  function__entry   /lib/shop.py:5:price  5
        8   7/7  function__return  /lib/shop.py:5:price  6
        9   7/7  function__return  /lib/shop.py:9:note   9  -  unwind
        10  7/7  line              /srv/run.py:1:main    4
        11  7/7  function__entry   /lib/shop.py:12:close 12
        12  7/7  function__return  /lib/shop.py:12:close 12
        13  7/7  function__return  /srv/run.py:1:main    4
        20  7/7  source            /srv/run.py::         4  1  def main():\n\s\s\s\sprice()\n\s\s\s\snote()\n\s\s\s\sclose()\n
    ";

    const NEW: &str = r"
        0   9/9  thread__start     -                     0  -  MainThread
        1   9/9  function__entry   /srv/run.py:1:main    1
        2   9/9  line              /srv/run.py:1:main    2
        3   9/9  function__entry   /lib/shop.py:5:price  5
        4   9/9  function__return  /lib/shop.py:5:price  6
        5   9/9  line              /srv/run.py:1:main    3
        10  9/9  line              /srv/run.py:1:main    4
        11  9/9  function__entry   /lib/shop.py:12:close 12
        12  9/9  function__return  /lib/shop.py:12:close 12
        13  9/9  function__return  /srv/run.py:1:main    4
        14  9/8  function__entry   /lib/shop.py:12:close 12
        20  9/9  source            /srv/run.py::         4  2  def main():\n\s\s\s\sprice()\n\s\s\s\spass\n\s\s\s\sclose()\n
    ";

    fn text(old: &str, new: &str, colours: bool) -> String {
        let ((old, _old), (new, _new)) = (testing::trace(old, 4), testing::trace(new, 4));
        let sources = [&old, &new].map(|trace| Sources::read(trace).expect("the trace is readable"));
        let sources = sources.each_ref();
        let divergences = Divergences::read([&old, &new], sources, &Filter::default(), &[], 1)
            .expect("the traces are readable");
        let mut out = Vec::new();
        write(&divergences, &DivergenceOptions { sources, colours }, &mut out)
            .expect("a vector accepts all writes");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn a_divergence_is_a_diff_of_calls_and_lines() {
        assert_eq!(
            text(OLD, NEW, false),
            "\
1. after 2 calls, in thread MainThread
   at 0.000000 s of old, 0.000000 s of new
   in main (__main__:1), line 3 (new: line 4)
   lines before
       __main__:2      price()
     - __main__:3      note()
     + __main__:3      pass
     + __main__:4      close()
   calls
       price (shop:5)
     - note (shop:9), raises
     -   price (shop:5)
       close (shop:12)

only in new: thread 8 of 9, which made 1 call
the runs diverge in 1 place: 2 of 5 calls in old are not in new, 0 of 3 calls in new are not in old
left out: calls inside garbage collections and the import system
old: trust: 13 events, 0 lost, 0 repaired, exited with 0, tracing cost 31 ns per event
new: trust: 10 events, 0 lost, 1 repaired (1 call still open), exited with 0, tracing cost 31 ns per event
"
        );
        assert!(text(OLD, NEW, true).contains("\x1b[31m     - note (shop:9), raises\x1b[0m\n"));
    }

    #[test]
    fn equal_runs_have_no_divergence() {
        assert!(text(OLD, OLD, false).starts_with("old and new make the same 5 calls\n"));
    }

    /// `main` ends after a loss in the new run.
    #[test]
    fn a_divergence_after_a_loss_has_a_warning() {
        let lossy =
            NEW.replace("5   9/9  line              /srv/run.py:1:main    3", "6  9/9  lost  -  0  3  5");
        let text = text(OLD, &lossy, false);
        assert!(
            text.contains("   events of this thread were lost in new before, which may be the only cause\n"),
            "{text}"
        );
        assert!(!text.contains("lost in old"), "{text}");
    }

    #[test]
    fn control_characters_in_names_are_escaped() {
        let hostile = NEW.replace(":close", ":\\u{1b}[2J");
        let text = text(OLD, &hostile, false);
        assert!(
            text.contains("… and 1 more kind; -n 0 lists all\n") || text.contains("in 1 place"),
            "{text}"
        );
        assert!(!text.contains('\x1b'), "{text}");
    }
}
