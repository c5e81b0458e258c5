//! Property tests: arbitrary events in any order pass through the reports without a panic, every
//! event is counted, and the own times of each thread add up to its measured time.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use pyrec_schema::{Batch, Event, LostEvents, Marker, Names, TextId};

use crate::filter::TimeWindow;
use crate::measure::{Folded, Totals, TraceInfo, Weight};
use crate::tree::TracePiece;
use crate::tree::tests::{by_path, cases};
use crate::{CallTree, Filter, report, testing};

/// Code strings and texts: empty, valid, and malformed.
const CODES: [&str; 6] = ["", "m.py:1:f", "m.py:5:g", "no colon", ":::", "m.py:x:\u{1b}[2J"];
const TEXTS: [&str; 6] = ["", "yield", "101", "-3", "99999999999999999999", "a\nb"];

fn event(names: Arc<Names>) -> impl Strategy<Value = Event> {
    // At most half a year from 0, so that the sums of nanoseconds do not overflow.
    let time_ns = prop_oneof![20 => 100..200i64, 1 => -(1i64 << 54)..1i64 << 54];
    // About half of the events are entries and returns, so that stacks become deep.
    let marker = prop_oneof![
        4 => Just(Marker::FunctionEntry),
        3 => Just(Marker::FunctionReturn),
        6 => prop::sample::select(&Marker::ALL[..]),
    ];
    let value = prop_oneof![Just(None), (0..5i64).prop_map(Some), any::<i64>().prop_map(Some)];
    let strings = (0..CODES.len(), 0..=TEXTS.len());
    (time_ns, 0..3i32, marker, strings, value).prop_map(move |(time_ns, tid, marker, (code, text), value)| {
        Event {
            time_ns,
            pid: tid / 2,
            tid,
            marker,
            code: names.code(CODES[code]),
            line: tid,
            value,
            text: TEXTS.get(text).map_or(TextId::NONE, |text| names.text(text)),
        }
    })
}

/// Up to 120 events, sorted by time in half of the cases.
fn events() -> impl Strategy<Value = (Arc<Names>, Vec<Event>)> {
    let names = Arc::new(Names::new());
    let events = prop::collection::vec(event(names.clone()), 0..120);
    (Just(names), events, any::<bool>()).prop_map(|(names, mut events, is_in_order)| {
        if is_in_order {
            events.sort_by_key(|event| event.time_ns);
        }
        (names, events)
    })
}

fn tree(names: &Arc<Names>, batches: impl Iterator<Item = Batch>) -> CallTree {
    let mut streams = TracePiece::first(TimeWindow::ALL);
    batches.for_each(|batch| streams.push(&batch, names));
    CallTree::of(streams, &Filter::default(), names.clone(), testing::manifest(&[], &[]), 0)
}

/// The time between the rows of each thread, without times in which events were lost. A step back
/// in time counts as 0.
fn measured_ns(events: &[Event], names: &Names) -> BTreeMap<(i32, i32), u64> {
    let mut measured = BTreeMap::new();
    let mut last_ns: BTreeMap<(i32, i32), i64> = BTreeMap::new();
    for event in events.iter().filter(|event| event.marker != Marker::Source) {
        let thread = (event.pid, event.tid);
        let before_ns = last_ns.insert(thread, event.time_ns).unwrap_or(event.time_ns);
        let until_ns = LostEvents::from_event(event, names)
            .map_or(event.time_ns, |lost| lost.from_ns.min(event.time_ns));
        let wait_ns = i128::from(until_ns) - i128::from(before_ns);
        *measured.entry(thread).or_default() += u64::try_from(wait_ns).unwrap_or(0);
    }
    measured
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn every_event_and_every_nanosecond_is_counted((names, events) in events()) {
        let calls = tree(&names, std::iter::once(events.iter().copied().collect()));

        let expected = events.iter().filter(|event| event.marker.is_event()).count() as u64;
        prop_assert_eq!(calls.counts.events(), expected);
        let per_marker: u64 = Marker::ALL.iter().map(|&marker| calls.counts.of(marker)).sum();
        prop_assert_eq!(per_marker, events.len() as u64);
        prop_assert_eq!(calls.threads.iter().map(|thread| thread.info.events).sum::<u64>(), expected);

        for (&(pid, tid), &measured_ns) in &measured_ns(&events, &names) {
            let filter = Filter { pids: vec![pid], tids: vec![tid], ..Filter::default() };
            let mut streams = TracePiece::first(TimeWindow::ALL);
            streams.push(&events.iter().copied().collect(), &names);
            let one = CallTree::of(streams, &filter, names.clone(), testing::manifest(&[], &[]), 0);
            let own_ns: u64 = one.nodes.iter().map(|(_, node)| node.tally.self_ns).sum();
            prop_assert_eq!(own_ns, measured_ns, "{}/{}", pid, tid);
        }
    }

    #[test]
    fn batch_boundaries_do_not_change_the_tree((names, events) in events(), rows in 1..50usize) {
        let whole = tree(&names, std::iter::once(events.iter().copied().collect()));
        let cut = tree(&names, events.chunks(rows).map(|rows| rows.iter().copied().collect()));
        prop_assert_eq!(by_path(&whole.nodes), by_path(&cut.nodes));
        prop_assert_eq!(&whole.counts, &cut.counts);
        prop_assert_eq!(whole.repairs(), cut.repairs());
        prop_assert_eq!(Totals::of(&whole), Totals::of(&cut));
    }

    #[test]
    fn every_report_is_written((names, events) in events()) {
        let calls = tree(&names, std::iter::once(events.into_iter().collect()));
        let totals = Totals::of(&calls);
        let mut out = Vec::new();
        report::stats::write(&totals, &report::stats::StatsOptions::default(), &mut out).expect("a vector accepts all writes");
        report::stats::write_json(&totals, &report::stats::StatsOptions::default(), &mut out).expect("a vector accepts all writes");
        report::info::write(&TraceInfo::of(&calls), &mut out).expect("a vector accepts all writes");
        prop_assert!(!out.contains(&0x1b));
        for weight in [Weight::Time, Weight::Calls] {
            let folded = Folded::of(&calls, weight);
            prop_assert_eq!(folded.frames.len(), folded.totals().len());
        }
        prop_assert_eq!(totals.functions.iter().filter(|each| each.self_ns > each.total_ns).count(), 0);
    }
}
