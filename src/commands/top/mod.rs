//! `pyrec top`: a live table of functions with their calls and times.

mod batch;
mod screen;
mod table;
mod terminal;
mod view;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::{Filter, Printable};
use pyrec_recorder::{Capture, LiveCounts, TopAction, TopOutcome};

use self::batch::TableOptions;
use self::screen::ScreenContext;
use self::table::{DEFAULT_ROWS, RowFilter, Samples, Sort, Window};
use self::terminal::TerminalSession;
use self::view::ViewState;
use crate::exit;
use crate::input::row_limit;
use crate::output::{print_message, use_colours};
use crate::target::{EventArgs, TargetArgs};

/// Show live which functions are called most and take the most time
///
/// Shows a table that is updated each second: calls, time in the function itself, and time with its
/// callees. Nothing is recorded. CMD is as for `pyrec record`; its output is printed at the end,
/// and its standard input is empty. Press `h` for the list of keys.
#[derive(Debug, Args)]
#[command(override_usage = "pyrec top [OPTIONS] [--] CMD…\n       pyrec top [OPTIONS] -p PID…\n       pyrec top [OPTIONS] --all", after_help = EXAMPLES)]
pub struct Top {
    /// Print plain text: a table for each interval, and one of the whole time at the end. CMD keeps
    /// its standard streams
    #[arg(short, long)]
    batch: bool,

    /// End after COUNT tables. CMD continues to run
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Update the table every SECONDS, at least 0.1 [default: 1]
    #[arg(short = 'd', long, value_name = "SECONDS", default_value = "1", hide_default_value = true, value_parser = seconds)]
    interval: Duration,

    /// The order of the rows
    #[arg(long, value_enum, value_name = "COLUMN", default_value_t)]
    sort: Sort,

    /// With --batch: print at most N functions in a table; 0 prints all [default: 20]
    #[arg(long, value_name = "N")]
    rows: Option<usize>,

    #[command(flatten)]
    events: EventArgs,

    /// Show only functions whose name or file matches: `parse*`, `Decoder.*`, `json/*`
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    include: Vec<Pattern>,

    /// Show no functions whose name or file matches
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    exclude: Vec<Pattern>,

    #[command(flatten)]
    target: TargetArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec top script.py --its options
  sudo pyrec top -p 4242
  sudo pyrec top --all
  pyrec top --batch -n 5 -p 4242 > top.txt";

/// Parses an interval between 0.1 s and a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let is_valid =
        |time: &Duration| (Duration::from_millis(100)..=Duration::from_secs(86_400)).contains(time);
    seconds.filter(is_valid).ok_or_else(|| "write a number of seconds, 0.1 or more".into())
}

impl Top {
    /// Shows the table until the end. Returns the exit status of the program.
    pub fn run(self) -> Result<ExitCode> {
        if !self.batch && !io::stdout().is_terminal() {
            bail!("standard output is not a terminal; give --batch for plain text");
        }
        let counted = if self.batch { self.print_tables()? } else { self.draw()? };
        for notice in &counted.notices {
            print_message(Printable(notice));
        }
        Ok(exit::from_program(counted.exit))
    }

    fn row_filter(&self) -> RowFilter {
        RowFilter {
            filter: Filter {
                include: self.include.clone(),
                exclude: self.exclude.clone(),
                ..Filter::default()
            },
            text: String::new(),
        }
    }

    fn recorder_options(&self) -> Result<pyrec_recorder::TopOptions> {
        let target = self.target.target("top")?;
        let capture = Capture::of(target, self.target.provider.into(), self.events.groups());
        Ok(pyrec_recorder::TopOptions { capture, output: None })
    }

    fn draw(&self) -> Result<TopOutcome> {
        let output = if self.target.command.is_empty() { None } else { Some(tempfile::tempfile()?) };
        let output_reader = output.as_ref().map(|file| file.try_clone()).transpose()?;
        let options = pyrec_recorder::TopOptions { output, ..self.recorder_options()? };
        let context = ScreenContext {
            title: self.title(),
            groups: options.capture.groups.clone(),
            output: Vec::new(),
            colours: use_colours(),
        };
        let view = ViewState { sort: self.sort, filter: self.row_filter(), ..ViewState::default() };
        let mut session = TerminalSession::new(view, context, output_reader, self.interval, self.count);
        let counted = pyrec_recorder::top(options, |live| session.update(live));
        session.close()?;
        let counted = counted?;
        session.print_final_table(&counted.counts)?;
        Ok(counted)
    }

    /// The target, as the view names it.
    fn title(&self) -> String {
        match (self.target.all, &self.target.pid[..]) {
            (true, _) => "every Python with static markers".into(),
            (false, []) => {
                let words: Vec<_> = self.target.command.iter().map(|word| word.to_string_lossy()).collect();
                words.join(" ")
            }
            (false, pids) => {
                let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
                format!("PID {}", pids.join(", "))
            }
        }
    }

    fn print_tables(&self) -> Result<TopOutcome> {
        let options = self.recorder_options()?;
        let (groups, filter) = (options.capture.groups.clone(), self.row_filter());
        let rows = row_limit(self.rows, false, DEFAULT_ROWS);
        let table_options = TableOptions { groups: &groups, sort: self.sort, filter: &filter, rows };
        let mut tables = BatchTables { samples: Samples::default(), due: None, printed: 0, failure: Ok(()) };
        let counted = pyrec_recorder::top(options, |live| {
            tables.update(live, &table_options, self.interval, self.count)
        })?;
        std::mem::replace(&mut tables.failure, Ok(()))?;
        if self.count.is_none_or(|count| tables.printed < count) {
            tables.samples.push(counted.counts.clone());
            tables.print(Window::Start, &table_options)?;
        }
        Ok(counted)
    }
}

/// The tables of `--batch`, printed to standard output.
struct BatchTables {
    samples: Samples,
    /// When the next table is due.
    due: Option<Instant>,
    printed: u64,
    failure: io::Result<()>,
}

impl BatchTables {
    /// Prints a table if one is due.
    fn update(
        &mut self,
        live: &mut LiveCounts,
        options: &TableOptions,
        interval: Duration,
        count: Option<u64>,
    ) -> pyrec_recorder::Result<TopAction> {
        let due = *self.due.get_or_insert_with(|| Instant::now() + interval);
        if Instant::now() < due {
            return Ok(TopAction::Continue);
        }
        // After a suspend of the machine, missed tables are skipped.
        self.due = Some((due + interval).max(Instant::now()));
        self.samples.push(live.counts()?);
        self.failure = self.print(Window::Interval, options);
        let is_done = self.failure.is_err() || count.is_some_and(|count| self.printed >= count);
        Ok(if is_done { TopAction::Stop } else { TopAction::Continue })
    }

    fn print(&mut self, window: Window, options: &TableOptions) -> io::Result<()> {
        let mut text = Vec::new();
        if self.printed > 0 {
            writeln!(text)?;
        }
        batch::write(&self.samples, window, options, &mut text)?;
        self.printed += 1;
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()
    }
}
