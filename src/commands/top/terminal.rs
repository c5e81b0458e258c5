//! The terminal session: takes over the terminal, reads keys, draws the view, and restores the
//! terminal.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use pyrec_analyzer::Printable;
use pyrec_analyzer::report::{Count, Time};
use pyrec_recorder::{Counts, LiveCounts, TopAction};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};

use super::screen::{OUTPUT_LINES, ScreenContext, draw};
use super::table::{DEFAULT_ROWS, RowFilter, Samples, Sort, Window};
use super::view::ViewState;

/// Bytes at the end of the output that are searched for its last lines.
const TAIL_BYTES: u64 = 4096;

/// The interval between two reads of the keyboard.
const KEYS_INTERVAL: Duration = Duration::from_millis(20);

/// The terminal, and the state of the view on it.
pub struct TerminalSession {
    view: ViewState,
    context: ScreenContext,
    samples: Samples,
    /// The output of a program started by pyrec.
    output: Option<File>,
    interval: Duration,
    /// The number of tables until the end; None for no limit.
    remaining: Option<u64>,
    /// None before the first draw, and after the terminal is restored.
    terminal: Option<DefaultTerminal>,
    /// When the next sample is due.
    due: Option<Instant>,
    keys_read_at: Instant,
    /// How many requests to quit were passed on to the recorder.
    quits_sent: usize,
    failure: io::Result<()>,
}

impl TerminalSession {
    /// Creates a session. The first [`TerminalSession::update`] takes over the terminal.
    pub fn new(
        view: ViewState,
        context: ScreenContext,
        output: Option<File>,
        interval: Duration,
        count: Option<u64>,
    ) -> TerminalSession {
        TerminalSession {
            view,
            context,
            samples: Samples::default(),
            output,
            interval,
            remaining: count,
            terminal: None,
            due: None,
            keys_read_at: Instant::now(),
            quits_sent: 0,
            failure: Ok(()),
        }
    }

    /// Reads keys and, when it is due, a sample of the counters. Draws what has changed.
    pub fn update(&mut self, live: &mut LiveCounts) -> pyrec_recorder::Result<TopAction> {
        let mut has_changed = match self.read_keys() {
            Ok(changed) => changed,
            Err(error) => return Ok(self.fail(error)),
        };
        let is_first = self.terminal.is_none();
        if self.due.is_none_or(|due| Instant::now() >= due) && !self.view.is_paused {
            // The first table is empty and not counted.
            self.due = Some(Instant::now() + self.interval);
            self.samples.push(live.counts()?);
            self.context.output = self.last_lines();
            has_changed = true;
            if !is_first {
                self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(1));
            }
        }
        if has_changed && let Err(error) = self.draw() {
            return Ok(self.fail(error));
        }
        if self.view.quit_presses > self.quits_sent {
            self.quits_sent += 1;
            return Ok(TopAction::Interrupt);
        }
        Ok(if self.remaining == Some(0) { TopAction::Stop } else { TopAction::Continue })
    }

    /// Keeps an error of the terminal, and ends the session.
    fn fail(&mut self, error: io::Error) -> TopAction {
        self.failure = Err(error);
        TopAction::Stop
    }

    fn read_keys(&mut self) -> io::Result<bool> {
        let mut has_changed = false;
        if self.keys_read_at.elapsed() < KEYS_INTERVAL {
            return Ok(false);
        }
        self.keys_read_at = Instant::now();
        while self.terminal.is_some() && event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                self.view.press(key);
            }
            has_changed = true;
        }
        Ok(has_changed)
    }

    fn draw(&mut self) -> io::Result<()> {
        if self.terminal.is_none() {
            // Also installs a panic hook that restores the terminal.
            self.terminal = Some(ratatui::try_init()?);
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.draw(|frame| draw(frame, &self.view, &self.samples, &self.context))?;
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
            text.lines().rev().take(OUTPUT_LINES).map(|line| Printable(line).to_string()).collect();
        lines.reverse();
        lines
    }

    /// Restores the terminal. Returns the error that ended the session, if there was one.
    pub fn close(&mut self) -> io::Result<()> {
        if self.terminal.take().is_some() {
            ratatui::try_restore()?;
        }
        std::mem::replace(&mut self.failure, Ok(()))
    }

    /// Prints the output of the program and a final table to standard output.
    pub fn print_final_table(&mut self, counts: &Counts) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if let Some(output) = &mut self.output {
            output.rewind()?;
            io::copy(output, &mut out)?;
        }
        self.samples.push(counts.clone());
        // The text typed in the view does not filter the final table.
        let filter = RowFilter { text: String::new(), ..std::mem::take(&mut self.view.filter) };
        let sort = if self.view.sort == Sort::Name { Sort::Calls } else { self.view.sort };
        let rows = self.samples.rows(Window::Start, sort, &filter);
        writeln!(
            out,
            "pyrec top: {}",
            super::batch::summary(&self.samples, Window::Start, &self.context.groups)
        )?;
        if !rows.is_empty() {
            writeln!(out, "{:>7} {:>13} {:>8} {:>8} FUNCTION", "PID", "CALLS", "SELF", "TOTAL")?;
        }
        for row in rows.iter().take(DEFAULT_ROWS) {
            let (code, total) = (row.code(), row.total);
            let (calls, self_time, total_time) =
                (Count(total.calls), Time(total.self_ns), Time(total.total_ns));
            let line = code.first_line.map_or_else(String::new, |line| format!(":{line}"));
            let (name, file, pid) = (Printable(code.qualname), Printable(code.file), row.pid);
            writeln!(out, "{pid:>7} {calls:>13} {self_time:>8} {total_time:>8} {name}  {file}{line}")?;
        }
        Ok(())
    }
}

impl Drop for TerminalSession {
    /// Restores the terminal after an early return.
    fn drop(&mut self) {
        let _ = self.close();
    }
}
