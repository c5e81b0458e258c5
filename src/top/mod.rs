//! `pyrec top`: functions by how often they are entered, and where the time goes, while it happens.

mod batch;
mod screen;
mod session;
mod table;
mod view;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use pyrec_analyzer::filter::Pattern;
use pyrec_analyzer::{Filter, Plain};
use pyrec_recorder::{Capture, Counted, Live, Wish};

use self::batch::Layout;
use self::screen::Facts;
use self::session::Session;
use self::table::{Looks, Show, Sort, Window};
use self::view::View;
use crate::input::rows;
use crate::output::{colours, say};
use crate::target::{Aim, Events, status};

/// Functions that the classic scripts list.
const CLASSIC: usize = 20;

/// Watch which functions are entered most, and which take the time
///
/// A table that is renewed each second: calls, time in the function itself, and time with what it called. Nothing is
/// recorded. CMD is what `pyrec record` takes; what it prints is kept until the end, and it has no standard input. `h` lists the keys.
#[derive(Debug, Args)]
#[command(override_usage = "pyrec top [OPTIONS] [--] CMD…\n       pyrec top [OPTIONS] -p PID…\n       pyrec top [OPTIONS] --all", after_help = EXAMPLES)]
pub struct Top {
    /// Print plain text, a table for each interval and one of all at the end; CMD has our standard streams
    #[arg(short, long)]
    batch: bool,

    /// End after COUNT tables. CMD goes on, uncounted
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Renew the table after so many seconds [default: 1]
    #[arg(short = 'd', long, value_name = "SECONDS", default_value = "1", hide_default_value = true, value_parser = seconds)]
    interval: Duration,

    /// What comes first
    #[arg(long, value_enum, value_name = "COLUMN", default_value_t)]
    sort: Sort,

    /// At most N functions in a table of --batch, or all with 0 [default: 20]
    #[arg(long, value_name = "N")]
    rows: Option<usize>,

    #[command(flatten)]
    events: Events,

    /// Show only functions whose name or file matches: `parse*`, `Decoder.*`, `json/*`
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    include: Vec<Pattern>,

    /// Show no functions whose name or file matches
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    exclude: Vec<Pattern>,

    #[command(flatten)]
    aim: Aim,
}

const EXAMPLES: &str = "\
Examples:
  pyrec top script.py --its options
  sudo pyrec top -p 4242
  sudo pyrec top --all
  pyrec top --batch -n 5 -p 4242 > top.txt";

/// Reads an interval.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let is_sensible =
        |time: &Duration| (Duration::from_millis(100)..=Duration::from_secs(86_400)).contains(time);
    seconds.filter(is_sensible).ok_or_else(|| "write seconds, 0.1 at the least".into())
}

impl Top {
    /// Returns the exit status of the program.
    pub fn run(self) -> Result<ExitCode> {
        if !self.batch && !io::stdout().is_terminal() {
            bail!("standard output is no terminal; give --batch for plain text");
        }
        let counted = if self.batch { self.print_tables()? } else { self.draw()? };
        for notice in &counted.notices {
            say(&format!("pyrec: {}\n", Plain(notice)));
        }
        Ok(status(counted.exit))
    }

    fn show(&self) -> Show {
        Show {
            filter: Filter {
                include: self.include.clone(),
                exclude: self.exclude.clone(),
                ..Filter::default()
            },
            text: String::new(),
        }
    }

    fn what(&self) -> Result<pyrec_recorder::Top> {
        let target = self.aim.target("top")?;
        let capture = Capture::of(target, self.aim.provider.into(), self.events.groups());
        Ok(pyrec_recorder::Top { capture, output: None })
    }

    fn draw(&self) -> Result<Counted> {
        let output = if self.aim.command.is_empty() { None } else { Some(tempfile::tempfile()?) };
        let kept = output.as_ref().map(|file| file.try_clone()).transpose()?;
        let what = pyrec_recorder::Top { output, ..self.what()? };
        let facts = Facts {
            title: self.title(),
            groups: what.capture.groups.clone(),
            output: Vec::new(),
            colours: colours(),
        };
        let view = View { sort: self.sort, show: self.show(), ..View::default() };
        let mut session = Session::new(view, facts, kept, self.interval, self.count);
        let counted = pyrec_recorder::top(what, |live| session.look(live));
        session.close()?;
        let counted = counted?;
        session.print_rest(&counted.counts)?;
        Ok(counted)
    }

    /// Who is watched.
    fn title(&self) -> String {
        match (self.aim.all, &self.aim.pid[..]) {
            (true, _) => "every Python with static markers".into(),
            (false, []) => {
                let words: Vec<_> = self.aim.command.iter().map(|word| word.to_string_lossy()).collect();
                words.join(" ")
            }
            (false, pids) => {
                let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
                format!("PID {}", pids.join(", "))
            }
        }
    }

    fn print_tables(&self) -> Result<Counted> {
        let what = self.what()?;
        let (groups, show) = (what.capture.groups.clone(), self.show());
        let rows = rows(self.rows, false, CLASSIC);
        let layout = Layout { groups: &groups, sort: self.sort, show: &show, rows };
        let mut tables = Tables { looks: Looks::default(), due: None, printed: 0, failure: Ok(()) };
        let counted =
            pyrec_recorder::top(what, |live| tables.look(live, &layout, self.interval, self.count))?;
        std::mem::replace(&mut tables.failure, Ok(()))?;
        if self.count.is_none_or(|count| tables.printed < count) {
            tables.looks.push(counted.counts.clone());
            tables.print(Window::Start, &layout)?;
        }
        Ok(counted)
    }
}

/// Tables on their way to standard output.
struct Tables {
    looks: Looks,
    /// When the next one is wanted.
    due: Option<Instant>,
    printed: u64,
    failure: io::Result<()>,
}

impl Tables {
    fn look(
        &mut self,
        live: &mut Live,
        layout: &Layout,
        interval: Duration,
        count: Option<u64>,
    ) -> pyrec_recorder::Result<Wish> {
        let due = *self.due.get_or_insert_with(|| Instant::now() + interval);
        if Instant::now() < due {
            return Ok(Wish::GoOn);
        }
        // A machine that was asleep is not asked for all that it missed.
        self.due = Some((due + interval).max(Instant::now()));
        self.looks.push(live.counts()?);
        self.failure = self.print(Window::Interval, layout);
        let is_enough = self.failure.is_err() || count.is_some_and(|count| self.printed >= count);
        Ok(if is_enough { Wish::Enough } else { Wish::GoOn })
    }

    fn print(&mut self, window: Window, layout: &Layout) -> io::Result<()> {
        let mut text = Vec::new();
        if self.printed > 0 {
            writeln!(text)?;
        }
        batch::write(&self.looks, window, layout, &mut text)?;
        self.printed += 1;
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()
    }
}
