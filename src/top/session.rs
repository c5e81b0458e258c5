//! The view on a terminal: from its first picture until the terminal is as it was.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use pyrec_analyzer::Plain;
use pyrec_analyzer::report::{Count, Time};
use pyrec_recorder::{Counts, Live, Wish};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};

use super::CLASSIC;
use super::screen::{Facts, OUTPUT_LINES, draw};
use super::table::{Looks, Show, Sort, Window};
use super::view::View;

/// Bytes of output that are looked at for its last lines.
const TAIL_BYTES: u64 = 4096;

/// Between two looks at the keyboard.
const KEYS_PAUSE: Duration = Duration::from_millis(20);

/// The view on a terminal.
pub struct Session {
    view: View,
    facts: Facts,
    looks: Looks,
    /// What a launched program prints.
    output: Option<File>,
    interval: Duration,
    /// How often the table may be renewed yet.
    left: Option<u64>,
    /// None before the first picture, and after the last one.
    terminal: Option<DefaultTerminal>,
    due: Option<Instant>,
    heeded: Instant,
    /// How many wishes for the end were passed on.
    ends: usize,
    failure: io::Result<()>,
}

impl Session {
    /// A session that has not begun.
    pub fn new(
        view: View,
        facts: Facts,
        output: Option<File>,
        interval: Duration,
        count: Option<u64>,
    ) -> Session {
        Session {
            view,
            facts,
            looks: Looks::default(),
            output,
            interval,
            left: count,
            terminal: None,
            due: None,
            heeded: Instant::now(),
            ends: 0,
            failure: Ok(()),
        }
    }

    /// Looks at keys and counts, and draws what has changed. The first time it takes the terminal.
    pub fn look(&mut self, live: &mut Live) -> pyrec_recorder::Result<Wish> {
        let mut has_changed = match self.heed_keys() {
            Ok(changed) => changed,
            Err(error) => return Ok(self.fail(error)),
        };
        let is_first = self.terminal.is_none();
        if self.due.is_none_or(|due| Instant::now() >= due) && !self.view.is_paused {
            // The first table is empty, and soon followed by the next.
            self.due = Some(Instant::now() + self.interval);
            self.looks.push(live.counts()?);
            self.facts.output = self.last_lines();
            has_changed = true;
            self.left = if is_first { self.left } else { self.left.map(|left| left.saturating_sub(1)) };
        }
        if has_changed && let Err(error) = self.draw() {
            return Ok(self.fail(error));
        }
        if self.view.ends > self.ends {
            self.ends += 1;
            return Ok(Wish::End);
        }
        Ok(if self.left == Some(0) { Wish::Enough } else { Wish::GoOn })
    }

    /// The terminal is gone, or as good as.
    fn fail(&mut self, error: io::Error) -> Wish {
        self.failure = Err(error);
        Wish::Enough
    }

    fn heed_keys(&mut self) -> io::Result<bool> {
        let mut has_changed = false;
        if self.heeded.elapsed() < KEYS_PAUSE {
            return Ok(false);
        }
        self.heeded = Instant::now();
        while self.terminal.is_some() && event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                self.view.key(key);
            }
            has_changed = true;
        }
        Ok(has_changed)
    }

    fn draw(&mut self) -> io::Result<()> {
        if self.terminal.is_none() {
            // Also sees to it that the terminal is as it was after a panic.
            self.terminal = Some(ratatui::try_init()?);
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.draw(|frame| draw(frame, &self.view, &self.looks, &self.facts))?;
        }
        Ok(())
    }

    fn last_lines(&self) -> Vec<String> {
        let Some(output) = &self.output else { return Vec::new() };
        let length = output.metadata().map_or(0, |metadata| metadata.len());
        let from = length.saturating_sub(TAIL_BYTES);
        let mut bytes = vec![0; (length - from) as usize];
        if output.read_exact_at(&mut bytes, from).is_err() {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<String> =
            text.lines().rev().take(OUTPUT_LINES).map(|line| Plain(line).to_string()).collect();
        lines.reverse();
        lines
    }

    /// Gives the terminal back.
    pub fn close(&mut self) -> io::Result<()> {
        if self.terminal.take().is_some() {
            ratatui::try_restore()?;
        }
        std::mem::replace(&mut self.failure, Ok(()))
    }

    /// Prints what the program printed, and what the view would show now.
    pub fn print_rest(&mut self, counts: &Counts) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if let Some(output) = &mut self.output {
            output.rewind()?;
            io::copy(output, &mut out)?;
        }
        self.looks.push(counts.clone());
        // What was filtered for the eye is asked for no longer.
        let show = Show { text: String::new(), ..std::mem::take(&mut self.view.show) };
        let sort = if self.view.sort == Sort::Name { Sort::Calls } else { self.view.sort };
        let rows = self.looks.rows(Window::Start, sort, &show);
        writeln!(
            out,
            "pyrec top: {}",
            super::batch::summary(&self.looks, Window::Start, &self.facts.groups)
        )?;
        if !rows.is_empty() {
            writeln!(out, "{:>7} {:>13} {:>8} {:>8} FUNCTION", "PID", "CALLS", "SELF", "TOTAL")?;
        }
        for row in rows.iter().take(CLASSIC) {
            let (code, all) = (row.code(), row.all);
            let (calls, own, total) = (Count(all.calls), Time(all.self_ns), Time(all.total_ns));
            let line = code.first_line.map_or_else(String::new, |line| format!(":{line}"));
            let (name, file, pid) = (Plain(code.qualname), Plain(code.file), row.pid);
            writeln!(out, "{pid:>7} {calls:>13} {own:>8} {total:>8} {name}  {file}{line}")?;
        }
        Ok(())
    }
}

impl Drop for Session {
    /// Where something failed on the way.
    fn drop(&mut self) {
        let _ = self.close();
    }
}
