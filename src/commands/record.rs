//! `pyrec record`: recording of a program that pyrec starts, or of running processes.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressStyle};
use pyrec_analyzer::Printable;
use pyrec_analyzer::filter::{Pattern, parse_duration};
use pyrec_recorder::{
    Capture, OnFull, Options, Outcome, Progress, Rotation, SizeOrDuration, Target, as_invoking_user,
};

use crate::exit;
use crate::input::DEFAULT_TRACE;
use crate::output::print_message;
use crate::output_path::OutputPath;
use crate::size_or_duration::{parse_size, parse_size_or_duration};
use crate::target::{EventArgs, Provider, TargetArgs};

/// Run a program, or attach to a running one, and record its calls
///
/// CMD is a program with its arguments, as you would type it without pyrec. It may also be a
/// script, -m MODULE or -c CODE, which run with the python3 of the virtual environment that pyrec
/// is installed in, or else with that on your PATH. Options of pyrec precede CMD. The output of the
/// program is not changed, and pyrec exits with its status. Ctrl-C ends the program; the trace is
/// complete.
#[derive(Debug, Args)]
#[command(override_usage = "pyrec record [OPTIONS] [--] CMD…\n       pyrec record [OPTIONS] -p PID…\n       pyrec record [OPTIONS] --all", after_help = EXAMPLES)]
pub struct Record {
    /// Write the trace to FILE [default: pyrec.parquet, after the previous one was renamed to
    /// pyrec.old.parquet]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace FILE if it exists
    #[arg(short, long, requires = "output")]
    force: bool,

    #[command(flatten)]
    events: EventArgs,

    /// Record only functions whose name or file matches: `parse*`, `Decoder.*`, `json/*`
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    include: Vec<Pattern>,

    /// Record no functions whose name or file matches; their time is added to their caller
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    exclude: Vec<Pattern>,

    /// With -p or --all: end the recording after TIME: `10s`, `2m`
    #[arg(long, value_name = "TIME", conflicts_with = "command", value_parser = parse_duration)]
    duration: Option<Duration>,

    /// Write a directory of files, with a new file after each SIZE or TIME: `100MB`, `10m`
    #[arg(long, value_name = "SIZE|TIME", value_parser = parse_size_or_duration, help_heading = "Long recordings")]
    rotate: Option<SizeOrDuration>,

    /// Write a directory of files, and keep only the last SIZE or TIME: `1GB`, `10m`
    #[arg(long, value_name = "SIZE|TIME", value_parser = parse_size_or_duration, help_heading = "Long recordings")]
    keep: Option<SizeOrDuration>,

    /// End the recording, but not the program, when the trace has SIZE: `500MB`
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Long recordings")]
    max_size: Option<u64>,

    /// What happens when events arrive faster than they can be written
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    on_full: WhenFull,

    /// Fire static markers, like those of CPython, so that bpftrace and SystemTap scripts can
    /// observe the events
    #[arg(long, conflicts_with = "pid")]
    expose_markers: bool,

    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    target: TargetArgs,
}

const EXAMPLES: &str = "\
Examples:
  pyrec record script.py --its options
  pyrec record -o tests.parquet -m pytest -x tests/
  pyrec record --lines -c 'import json; json.loads(\"[1, 2]\")'
  pyrec record --exclude 'site-packages/*' script.py
  pyrec record venv/bin/gunicorn app:app
  sudo pyrec record -p 4242
  pyrec record -p 4242 --duration 10s
  pyrec record --keep 10m server.py
  sudo pyrec record --all --markers gc";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum WhenFull {
    /// The program waits, and no event is lost
    #[default]
    Wait,
    /// The program continues, and lost events are counted
    Drop,
}

impl Record {
    /// Records. Returns the exit status of the program.
    pub fn run(self) -> Result<ExitCode> {
        let target = self.target()?;
        let output =
            as_invoking_user(|| OutputPath::free(self.output.as_deref(), self.force, Path::new("")))??;
        let options = Options {
            capture: self.capture(target),
            output: output.path().to_owned(),
            rotation: Rotation { rotate: self.rotate, keep: self.keep },
            max_bytes: self.max_size,
            duration: self.duration,
        };
        if self.expose_markers && !self.quiet {
            let library = pyrec_recorder::exposed_library();
            print_message(format_args!("markers: usdt:{}:python:*", library.display()));
        }
        let line = self.progress_line();
        let recorded = pyrec_recorder::record(&options, |progress| show_progress(&line, progress));
        line.finish_and_clear();
        let finished = as_invoking_user(|| output.finish());
        let outcome = recorded?;
        finished??;
        if !self.quiet {
            summary(&outcome, &options.output).iter().for_each(print_message);
        }
        Ok(exit::from_program(outcome.exit))
    }

    fn capture(&self, target: Target) -> Capture {
        Capture {
            include: globs(&self.include),
            exclude: globs(&self.exclude),
            on_full: match self.on_full {
                WhenFull::Wait => OnFull::Wait,
                WhenFull::Drop => OnFull::Drop,
            },
            expose_markers: self.expose_markers,
            ..Capture::of(target, self.target.provider.into(), self.events.groups())
        }
    }

    fn target(&self) -> Result<Target> {
        if self.expose_markers && self.target.provider == Provider::Usdt {
            bail!("--expose-markers needs the agent; --provider usdt reads the markers of CPython itself");
        }
        self.target.target("record")
    }

    /// The progress line on standard error. Hidden where the program may print to the same
    /// terminal.
    fn progress_line(&self) -> ProgressBar {
        let program_prints = !self.target.command.is_empty() && std::io::stdout().is_terminal();
        if self.quiet || program_prints || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("pyrec: {elapsed} {msg}");
        ProgressBar::new_spinner().with_style(style.expect("the template is valid"))
    }
}

/// The globs as they were typed.
fn globs(patterns: &[Pattern]) -> Vec<String> {
    patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect()
}

fn show_progress(line: &ProgressBar, progress: &Progress) {
    if line.is_hidden() {
        return;
    }
    let Progress { events, lost, bytes, .. } = *progress;
    line.set_message(format!(
        "{} events, {}, {} lost",
        HumanCount(events),
        DecimalBytes(bytes),
        HumanCount(lost)
    ));
    line.tick();
}

/// Messages at the end: the notices of the recorder, the trace with its events and losses, and the
/// next command.
fn summary(outcome: &Outcome, output: &Path) -> Vec<String> {
    let Outcome { events, lost, waited, bytes, notices, .. } = outcome;
    let mut messages: Vec<String> = notices.iter().map(|notice| Printable(notice).to_string()).collect();
    let waited = match waited {
        Some(waited) => format!(", program waited {:.3} s", waited.as_secs_f64()),
        None => String::new(),
    };
    let input = match output == Path::new(DEFAULT_TRACE) {
        true => String::new(),
        false => format!("-i {} ", Printable(&quoted(&output.to_string_lossy()))),
    };
    messages.push(format!(
        "{events} events in {output}, {bytes}, {lost} lost{waited}",
        events = HumanCount(*events),
        lost = HumanCount(*lost),
        bytes = DecimalBytes(*bytes),
        output = Printable(&output.to_string_lossy()),
    ));
    // A trace without events has no flame graph. The notices say why it has none.
    if *events > 0 {
        messages.push(format!("next: pyrec flame {input}flame.svg"));
    }
    messages
}

/// Quotes a word for a shell, if it needs quotes.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    match !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::time::Duration;

    use pyrec_recorder::Exit;
    use pyrec_schema::MarkerGroup;

    use super::*;
    use crate::commands::parse;

    /// The arguments of `pyrec record`, parsed.
    fn record(arguments: &[&str]) -> Result<Record, String> {
        parse(arguments.iter().copied()).map_err(|error| error.to_string())
    }

    fn command(words: &[&str]) -> Target {
        Target::Command(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn everything_after_the_first_word_belongs_to_the_command() {
        let table: &[(&[&str], Option<&str>, &[&str])] = &[
            (&["script.py"], None, &["script.py"]),
            (&["script.py", "--its", "-o", "options"], None, &["script.py", "--its", "-o", "options"]),
            (&["-o", "x", "script.py", "-q"], Some("x"), &["script.py", "-q"]),
            (&["-o", "x", "--", "script.py", "-o", "y"], Some("x"), &["script.py", "-o", "y"]),
            (&["-m", "http.server", "--", "--flag"], None, &["-m", "http.server", "--", "--flag"]),
            (&["-o", "x", "-m", "mod", "-o", "y"], Some("x"), &["-m", "mod", "-o", "y"]),
            (&["--", "-m", "mod", "--help"], None, &["-m", "mod", "--help"]),
            (&["-c", "print(1)", "-p", "7"], None, &["-c", "print(1)", "-p", "7"]),
            (&["-c", "-1", "--lines"], None, &["-c", "-1", "--lines"]),
            (
                &["python3", "-X", "dev", "a.py", "--version"],
                None,
                &["python3", "-X", "dev", "a.py", "--version"],
            ),
            (&["--output=x", "prog", ""], Some("x"), &["prog", ""]),
        ];
        for (words, output, cmd) in table {
            let record = record(words).expect("the arguments parse");
            assert_eq!(record.target().expect("the target is valid"), command(cmd), "{words:?}");
            assert_eq!(record.output.as_deref(), output.map(Path::new), "{words:?}");
            assert_eq!(
                (record.quiet, record.events.lines, record.target.pid),
                (false, false, vec![]),
                "{words:?}"
            );
        }
    }

    #[test]
    fn options_before_the_command_belong_to_pyrec() {
        let record =
            record(&["-q", "--lines", "--provider", "usdt", "--on-full", "drop", "-fo", "x", "a.py"]);
        let record = record.expect("the arguments parse");
        assert!(record.quiet && record.force);
        assert_eq!(
            record.events.groups(),
            [MarkerGroup::Function, MarkerGroup::Line, MarkerGroup::Gc, MarkerGroup::Import]
        );
        assert_eq!((record.target.provider, record.on_full), (Provider::Usdt, WhenFull::Drop));
        assert_eq!(record.output.as_deref(), Some(Path::new("x")));
    }

    #[test]
    fn defaults_are_those_of_the_help_text() {
        let record = record(&["a.py"]).expect("the arguments parse");
        assert_eq!(record.events.groups(), [MarkerGroup::Function, MarkerGroup::Gc, MarkerGroup::Import]);
        assert_eq!((record.target.provider, record.on_full), (Provider::Auto, WhenFull::Wait));
        assert!(!record.force && !record.quiet && record.output.is_none());
    }

    #[test]
    fn marker_groups_are_given_by_name() {
        let groups = |words| record(words).map(|record| record.events.groups());
        assert_eq!(groups(&["--markers", "gc", "a.py"]), Ok(vec![MarkerGroup::Gc]));
        assert_eq!(
            groups(&["--markers", "line,function,line", "a.py"]),
            Ok(vec![MarkerGroup::Function, MarkerGroup::Line])
        );
        assert_eq!(
            groups(&["--markers=function", "--lines", "a.py"]),
            Ok(vec![MarkerGroup::Function, MarkerGroup::Line])
        );
        let unknown = groups(&["--markers", "function,lines", "a.py"]).expect_err("`lines` is not a group");
        assert!(unknown.contains("lines") && unknown.contains("function, line, gc"), "{unknown}");
    }

    #[test]
    fn include_and_exclude_take_globs() {
        let recorded = record(&["--include", "json/*", "--exclude", "scan", "--include", "f", "a.py"]);
        let recorded = recorded.expect("the arguments parse");
        assert_eq!(globs(&recorded.include), ["json/*", "f"]);
        assert_eq!(globs(&recorded.exclude), ["scan"]);
        let message = record(&["--exclude", "a[", "a.py"]).expect_err("the glob is invalid");
        assert!(message.contains("`a[` is not a pattern"), "{message}");
    }

    #[test]
    fn processes_are_given_instead_of_a_command() {
        let table: &[(&[&str], Target)] = &[
            (&["-p", "7"], Target::Processes(vec![7])),
            (&["-p", "9,7"], Target::Processes(vec![7, 9])),
            (&["-p", "7", "-q", "-p", "9", "-p", "7"], Target::Processes(vec![7, 9])),
            (&["--all"], Target::Machine),
        ];
        for (words, expected) in table {
            let target = record(words).expect("the arguments parse").target();
            assert_eq!(&target.expect("the target is valid"), expected, "{words:?}");
        }
        let all = ["--all", "a.py"];
        for invalid in [
            &["-p", "7", "a.py"][..],
            &all,
            &["--all", "-p", "7"],
            &["-p", "7,"],
            &["-p", "0"],
            &["-p", "-7"],
            &["-p", "x"],
            &["-p"],
        ] {
            assert!(record(invalid).is_err(), "{invalid:?}");
        }
    }

    #[test]
    fn invalid_arguments_are_refused() {
        for invalid in [&[][..], &["-q"], &["-o"], &["-f", "a.py"], &["--on-full", "stop", "a.py"]] {
            assert!(record(invalid).is_err(), "{invalid:?}");
        }
        for invalid in [
            &["--line", "a.py"][..],
            &["-mjson.tool"],
            &["-X", "dev", "a.py"],
            &["-m"],
            &["-c"],
            &["--", "-o"],
        ] {
            let record = record(invalid).expect("clap takes an unknown option for a command");
            assert!(record.target().is_err(), "{invalid:?}");
        }
    }

    #[test]
    fn the_summary_ends_with_the_next_command() {
        let mut outcome = Outcome {
            exit: Exit::Status(0),
            events: 1_234_567,
            lost: 0,
            waited: Some(Duration::from_millis(1_250)),
            bytes: 2_500_000,
            notices: vec![],
        };
        let messages = summary(&outcome, Path::new(DEFAULT_TRACE));
        assert_eq!(
            messages,
            [
                "1,234,567 events in pyrec.parquet, 2.50 MB, 0 lost, program waited 1.250 s",
                "next: pyrec flame flame.svg"
            ]
        );
        outcome.waited = None;
        outcome.notices.push("sys.setprofile was in use".into());
        assert_eq!(
            summary(&outcome, Path::new("my runs/a.parquet")),
            [
                "sys.setprofile was in use",
                "1,234,567 events in my runs/a.parquet, 2.50 MB, 0 lost",
                "next: pyrec flame -i 'my runs/a.parquet' flame.svg"
            ]
        );
    }

    #[test]
    fn words_with_special_characters_are_quoted_for_a_shell() {
        let table = [
            ("a/b-1.parquet", "a/b-1.parquet"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("-i", "'-i'"),
        ];
        for (word, expected) in table {
            assert_eq!(quoted(word), expected);
        }
    }
}
