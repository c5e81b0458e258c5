//! Limits to what may change: `calls:parse_*:+0%`, `self:+10%`.

use std::str::FromStr;

use pyrec_schema::Code;

use super::evidence::{convincing, excess};
use super::samples::Samples;
use super::{CallsDiff, Diff, Kind};
use crate::filter::{Pattern, parse_duration};

/// A limit to a change.
#[derive(Clone, Debug)]
pub struct Rule {
    text: String,
    metric: Metric,
    /// Of what, each by itself; of all together if there is none.
    pattern: Option<Pattern>,
    limit: Limit,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Calls,
    SelfTime,
    Total,
    Hits,
    Imports,
    Pauses,
    Gc,
}

/// By how much it may grow.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// A part of what it was.
    Part(f64),
    /// So many, or nanoseconds.
    Absolute(u64),
}

/// Something that grew beyond its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    /// The rule, as it was given.
    pub rule: String,
    /// What it is; none where it is all together.
    pub what: Option<String>,
    /// The numbers of all runs.
    pub samples: Samples,
    /// Whether they are nanoseconds.
    pub is_time: bool,
    /// Whether runs enough were compared to tell that it is no accident. Always so for counts.
    pub has_evidence: bool,
}

/// Something that a rule is held against.
struct Subject<'a> {
    what: Option<String>,
    samples: &'a Samples,
}

const METRICS: [(&str, Metric); 7] = [
    ("calls", Metric::Calls),
    ("self", Metric::SelfTime),
    ("total", Metric::Total),
    ("hits", Metric::Hits),
    ("imports", Metric::Imports),
    ("pauses", Metric::Pauses),
    ("gc", Metric::Gc),
];

impl Metric {
    fn is_time(self) -> bool {
        matches!(self, Metric::SelfTime | Metric::Total | Metric::Gc)
    }
}

impl Rule {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether lines must be read for it.
    pub fn needs_lines(&self) -> bool {
        self.metric == Metric::Hits
    }

    /// Whether imports must be read for it.
    pub fn needs_imports(&self) -> bool {
        self.metric == Metric::Imports
    }

    /// Whether garbage collections must be read for it.
    pub fn needs_gc(&self) -> bool {
        matches!(self.metric, Metric::Pauses | Metric::Gc)
    }

    /// What grew beyond the limit.
    pub fn breaches(&self, diff: &Diff) -> Result<Vec<Breach>, GateError> {
        if self.needs_lines() && !diff.has_hits {
            return Err(GateError::NoLines { rule: self.text.clone() });
        }
        let whole = match self.metric {
            Metric::Hits => diff.sum(diff.lines.iter().map(|line| &line.hits)),
            Metric::Imports => diff.sum(diff.imports.iter().map(|import| &import.count)),
            Metric::Pauses => diff.sum(diff.gc.iter().map(|gc| &gc.pauses)),
            Metric::Gc => diff.sum(diff.gc.iter().map(|gc| &gc.total_ns.samples)),
            Metric::Calls | Metric::SelfTime | Metric::Total => self.of_calls(&diff.whole).clone(),
        };
        let subjects = match &self.pattern {
            None => vec![Subject { what: None, samples: &whole }],
            Some(pattern) => self.subjects(pattern, diff),
        };
        match (&self.pattern, subjects.is_empty()) {
            (Some(_), true) => Err(GateError::NothingMatches { rule: self.text.clone() }),
            _ => Ok(self.broken(subjects, diff.has_evidence())),
        }
    }

    fn of_calls<'a>(&self, calls: &'a CallsDiff) -> &'a Samples {
        match self.metric {
            Metric::SelfTime => &calls.self_ns.samples,
            Metric::Total => &calls.total_ns.samples,
            _ => &calls.calls,
        }
    }

    fn subjects<'a>(&self, pattern: &Pattern, diff: &'a Diff) -> Vec<Subject<'a>> {
        match self.metric {
            Metric::Hits => {
                let lines = diff.lines.iter().filter(|line| {
                    let code = |name| Code { file: &line.file, ..nowhere(name) };
                    pattern.matches_name(diff.alignment.place(line.place))
                        || line.functions.iter().any(|name| pattern.is_match(&code(name)))
                });
                lines.map(|line| Subject { what: Some(diff.line_label(line)), samples: &line.hits }).collect()
            }
            Metric::Imports => {
                let imports = diff.imports.iter().filter_map(|import| Some((import.modules.last()?, import)));
                let imports = imports.filter(|(module, _)| pattern.matches_name(module));
                imports
                    .map(|(_, import)| Subject {
                        what: Some(import.modules.join(" > ")),
                        samples: &import.count,
                    })
                    .collect()
            }
            _ => {
                let functions = diff.alignment.functions.iter().zip(&diff.functions);
                let functions =
                    functions.filter(|(function, _)| matches!(function.kind, Kind::Python | Kind::C));
                let functions = functions.filter(|(function, _)| {
                    let file = function.file.as_deref().unwrap_or_default();
                    let module = function.module.as_deref();
                    pattern.is_match(&Code { file, ..nowhere(&function.qualname) })
                        || module.is_some_and(|module| pattern.matches_name(module))
                });
                functions
                    .map(|(function, calls)| Subject {
                        what: Some(function.label()),
                        samples: self.of_calls(calls),
                    })
                    .collect()
            }
        }
    }

    /// Which of these grew beyond the limit: counts if the least new one did beyond the most old one; times as far as
    /// there is evidence of it, which takes several runs, and as they were measured where there are none.
    fn broken(&self, subjects: Vec<Subject>, has_evidence: bool) -> Vec<Breach> {
        let probability = |subject: &Subject| {
            let ((_, old), (new, _)) =
                (Samples::range(&subject.samples.old), Samples::range(&subject.samples.new));
            match () {
                () if self.limit.is_kept(old, new) => 1.0,
                () if !self.metric.is_time() || !has_evidence || old == 0 => 0.0,
                () => excess(subject.samples, self.limit.ratio(subject.samples)).unwrap_or(1.0),
            }
        };
        let mut grown: Vec<(f64, Subject)> =
            subjects.into_iter().map(|subject| (probability(&subject), subject)).collect();
        grown.sort_by(|a, b| a.0.total_cmp(&b.0));
        let held = convincing(grown.iter().map(|(probability, _)| *probability));
        let breach = |(_, subject): (f64, Subject)| Breach {
            rule: self.text.clone(),
            what: subject.what,
            samples: subject.samples.clone(),
            is_time: self.metric.is_time(),
            has_evidence: has_evidence || !self.metric.is_time(),
        };
        grown.into_iter().take(held).map(breach).collect()
    }
}

impl Limit {
    /// Whether it is kept by what was old and is new.
    fn is_kept(self, old: u64, new: u64) -> bool {
        match self {
            Limit::Part(part) => new as f64 <= old as f64 * (1.0 + part),
            Limit::Absolute(more) => new <= old.saturating_add(more),
        }
    }

    /// How many times the old times the new ones may be.
    fn ratio(self, samples: &Samples) -> f64 {
        match self {
            Limit::Part(part) => 1.0 + part,
            Limit::Absolute(more) => 1.0 + more as f64 / samples.old_median().max(1) as f64,
        }
    }
}

/// A function of no known file.
fn nowhere(qualname: &str) -> Code<'_> {
    Code { file: "", first_line: None, qualname }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = |why: &str| RuleError { text: text.into(), why: why.into() };
        let (metric, rest) = text.split_once(':').ok_or_else(|| error("there is no colon in it"))?;
        let metric = METRICS.iter().find(|(name, _)| *name == metric).map(|(_, metric)| *metric);
        let names = METRICS.map(|(name, _)| name).join(", ");
        let metric = metric.ok_or_else(|| error(&format!("what is limited is one of {names}")))?;
        let (pattern, limit) = match rest.rsplit_once(':') {
            Some((pattern, limit)) => (Some(pattern), limit),
            None => (None, rest),
        };
        let pattern: Option<Pattern> =
            pattern.map(str::parse).transpose().map_err(|reason| error(&format!("{reason}")))?;
        if pattern.is_some() && matches!(metric, Metric::Pauses | Metric::Gc) {
            return Err(error("collections are of no function, so they have no pattern"));
        }
        let limit = Limit::parse(limit, metric.is_time())
            .ok_or_else(|| error("it must end with how much more there may be, such as +10%, +3 or +5ms"))?;
        Ok(Rule { text: text.into(), metric, pattern, limit })
    }
}

impl Limit {
    fn parse(text: &str, is_time: bool) -> Option<Limit> {
        let text = text.strip_prefix('+')?;
        if let Some(percent) = text.strip_suffix('%') {
            let is_number = percent.starts_with(|c: char| c.is_ascii_digit());
            let percent: f64 =
                percent.parse().ok().filter(|percent: &f64| is_number && percent.is_finite())?;
            return Some(Limit::Part(percent / 100.0));
        }
        let absolute = if is_time {
            u64::try_from(parse_duration(text).ok()?.as_nanos()).ok()?
        } else {
            text.parse().ok()?
        };
        Some(Limit::Absolute(absolute))
    }
}

/// A rule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a rule: {why}; write WHAT:+LIMIT or WHAT:PATTERN:+LIMIT, such as self:+10% or calls:parse_*:+0%"
)]
pub struct RuleError {
    text: String,
    why: String,
}

/// A rule that cannot be held against these recordings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Nothing has that name.
    #[error("nothing in these recordings matches the rule `{rule}`; `pyrec stats` lists what they have")]
    NothingMatches {
        /// The rule.
        rule: String,
    },
    /// Lines were not recorded.
    #[error("the rule `{rule}` is about lines, and they were not recorded; `pyrec record --lines` does")]
    NoLines {
        /// The rule.
        rule: String,
    },
}
