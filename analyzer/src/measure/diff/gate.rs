//! The gate: rules that limit how much a count or a time may grow, such as `calls:parse_*:+0%` or
//! `self:+10%`.

use std::str::FromStr;

use pyrec_schema::Code;

use super::samples::Samples;
use super::significance::{holm_rejections, p_value_above};
use super::{CallsDiff, Diff};
use crate::filter::{Pattern, parse_duration};
use crate::measure::alignment::FunctionKind;

/// A limit on the growth of a metric.
#[derive(Clone, Debug)]
pub struct Rule {
    text: String,
    metric: Metric,
    /// Selects functions, lines or imports, each of which is checked by itself. Without it the sum
    /// is checked.
    pattern: Option<Pattern>,
    limit: Limit,
}

/// What a rule limits.
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

/// By how much a metric may grow.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// As a part of the old value.
    Relative(f64),
    /// As a number, or as nanoseconds.
    Absolute(u64),
}

/// A violation of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    /// The text of the rule.
    pub rule: String,
    /// The label of the function, line or import; none for the sum.
    pub what: Option<String>,
    /// The metric in each run.
    pub samples: Samples,
    /// Whether the metric is a time in nanoseconds.
    pub is_time: bool,
    /// Whether the growth is significant: always for counts, and for times if both sides have
    /// several runs.
    pub has_evidence: bool,
}

/// A function, line, import or sum that a rule is checked on.
struct Candidate<'a> {
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
    /// The text that the rule was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the rule needs [`DiffOptions::lines`](super::DiffOptions::lines).
    pub fn needs_lines(&self) -> bool {
        self.metric == Metric::Hits
    }

    /// Whether the rule needs [`DiffOptions::imports`](super::DiffOptions::imports).
    pub fn needs_imports(&self) -> bool {
        self.metric == Metric::Imports
    }

    /// Whether the rule needs [`DiffOptions::gc`](super::DiffOptions::gc).
    pub fn needs_gc(&self) -> bool {
        matches!(self.metric, Metric::Pauses | Metric::Gc)
    }

    /// Checks the rule. Returns its violations.
    ///
    /// # Errors
    ///
    /// Fails if the rule needs line events that the recordings do not have, or if its pattern
    /// matches nothing.
    pub fn breaches(&self, diff: &Diff) -> Result<Vec<Breach>, GateError> {
        if self.needs_lines() && !diff.has_hits {
            return Err(GateError::NoLines { rule: self.text.clone() });
        }
        let whole = match self.metric {
            Metric::Hits => diff.sum(diff.lines.iter().map(|line| &line.hits)),
            Metric::Imports => diff.sum(diff.imports.iter().map(|import| &import.count)),
            Metric::Pauses => diff.sum(diff.gc.iter().map(|gc| &gc.pauses)),
            Metric::Gc => diff.sum(diff.gc.iter().map(|gc| &gc.total_ns.samples)),
            Metric::Calls | Metric::SelfTime | Metric::Total => self.metric_of(&diff.whole).clone(),
        };
        let candidates = match &self.pattern {
            None => vec![Candidate { what: None, samples: &whole }],
            Some(pattern) => self.candidates(pattern, diff),
        };
        match (&self.pattern, candidates.is_empty()) {
            (Some(_), true) => Err(GateError::NothingMatches { rule: self.text.clone() }),
            _ => Ok(self.violations(candidates, diff.has_evidence())),
        }
    }

    fn metric_of<'a>(&self, calls: &'a CallsDiff) -> &'a Samples {
        match self.metric {
            Metric::SelfTime => &calls.self_ns.samples,
            Metric::Total => &calls.total_ns.samples,
            _ => &calls.calls,
        }
    }

    fn candidates<'a>(&self, pattern: &Pattern, diff: &'a Diff) -> Vec<Candidate<'a>> {
        match self.metric {
            Metric::Hits => {
                let lines = diff.lines.iter().filter(|line| {
                    let code = |name| Code { file: &line.file, ..without_file(name) };
                    pattern.matches_name(diff.alignment.file_label(line.file_id))
                        || line.functions.iter().any(|name| pattern.is_match(&code(name)))
                });
                lines
                    .map(|line| Candidate { what: Some(diff.line_label(line)), samples: &line.hits })
                    .collect()
            }
            Metric::Imports => {
                let imports = diff.imports.iter().filter_map(|import| Some((import.modules.last()?, import)));
                let imports = imports.filter(|(module, _)| pattern.matches_name(module));
                imports
                    .map(|(_, import)| Candidate {
                        what: Some(import.modules.join(" > ")),
                        samples: &import.count,
                    })
                    .collect()
            }
            _ => {
                let functions = diff.alignment.functions.iter().zip(&diff.functions);
                let functions = functions
                    .filter(|(function, _)| matches!(function.kind, FunctionKind::Python | FunctionKind::C));
                let functions = functions.filter(|(function, _)| {
                    let file = function.file.as_deref().unwrap_or_default();
                    let module = function.module.as_deref();
                    pattern.is_match(&Code { file, ..without_file(&function.qualname) })
                        || module.is_some_and(|module| pattern.matches_name(module))
                });
                functions
                    .map(|(function, calls)| Candidate {
                        what: Some(function.label()),
                        samples: self.metric_of(calls),
                    })
                    .collect()
            }
        }
    }

    /// The candidates that exceed the limit. A count does if the minimum of the new runs exceeds
    /// the limit of the maximum of the old runs. A time must also do so significantly after Holm's
    /// correction over all candidates, unless a side has one run.
    fn violations(&self, candidates: Vec<Candidate>, has_evidence: bool) -> Vec<Breach> {
        let p_value = |candidate: &Candidate| {
            let ((_, old), (new, _)) =
                (Samples::range(&candidate.samples.old), Samples::range(&candidate.samples.new));
            match () {
                () if self.limit.allows(old, new) => 1.0,
                () if !self.metric.is_time() || !has_evidence || old == 0 => 0.0,
                () => p_value_above(candidate.samples, self.limit.ratio(candidate.samples)).unwrap_or(1.0),
            }
        };
        let mut tested: Vec<(f64, Candidate)> =
            candidates.into_iter().map(|candidate| (p_value(&candidate), candidate)).collect();
        tested.sort_by(|a, b| a.0.total_cmp(&b.0));
        let rejections = holm_rejections(tested.iter().map(|(p_value, _)| *p_value));
        let breach = |(_, candidate): (f64, Candidate)| Breach {
            rule: self.text.clone(),
            what: candidate.what,
            samples: candidate.samples.clone(),
            is_time: self.metric.is_time(),
            has_evidence: has_evidence || !self.metric.is_time(),
        };
        tested.into_iter().take(rejections).map(breach).collect()
    }
}

impl Limit {
    /// Whether growth from `old` to `new` is within the limit.
    fn allows(self, old: u64, new: u64) -> bool {
        match self {
            Limit::Relative(part) => new as f64 <= old as f64 * (1.0 + part),
            Limit::Absolute(more) => new <= old.saturating_add(more),
        }
    }

    /// The largest allowed ratio new / old.
    fn ratio(self, samples: &Samples) -> f64 {
        match self {
            Limit::Relative(part) => 1.0 + part,
            Limit::Absolute(more) => 1.0 + more as f64 / samples.old_median().max(1) as f64,
        }
    }
}

/// A code object without a file.
fn without_file(qualname: &str) -> Code<'_> {
    Code { file: "", first_line: None, qualname }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = |why: &str| RuleError { text: text.into(), why: why.into() };
        let (metric, rest) = text.split_once(':').ok_or_else(|| error("there is no colon in it"))?;
        let metric = METRICS.iter().find(|(name, _)| *name == metric).map(|(_, metric)| *metric);
        let names = METRICS.map(|(name, _)| name).join(", ");
        let metric = metric.ok_or_else(|| error(&format!("WHAT must be one of {names}")))?;
        let (pattern, limit) = match rest.rsplit_once(':') {
            Some((pattern, limit)) => (Some(pattern), limit),
            None => (None, rest),
        };
        let pattern: Option<Pattern> =
            pattern.map(str::parse).transpose().map_err(|reason| error(&format!("{reason}")))?;
        if pattern.is_some() && matches!(metric, Metric::Pauses | Metric::Gc) {
            return Err(error("collections belong to no function, so this rule takes no pattern"));
        }
        let limit = Limit::parse(limit, metric.is_time())
            .ok_or_else(|| error("the limit must be an allowed increase, such as +10%, +3 or +5ms"))?;
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
            return Some(Limit::Relative(percent / 100.0));
        }
        let absolute = if is_time {
            u64::try_from(parse_duration(text).ok()?.as_nanos()).ok()?
        } else {
            text.parse().ok()?
        };
        Some(Limit::Absolute(absolute))
    }
}

/// A text that is not a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a rule: {why}; write WHAT:+LIMIT or WHAT:PATTERN:+LIMIT, such as self:+10% or calls:parse_*:+0%"
)]
pub struct RuleError {
    text: String,
    why: String,
}

/// A rule that cannot be checked on these recordings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// The pattern matches nothing.
    #[error("nothing in these recordings matches the rule `{rule}`; `pyrec stats` lists their functions")]
    NothingMatches {
        /// The text of the rule.
        rule: String,
    },
    /// The recordings have no line events.
    #[error(
        "the rule `{rule}` needs line events, which these recordings do not have; record with `pyrec record --lines`"
    )]
    NoLines {
        /// The text of the rule.
        rule: String,
    },
}
