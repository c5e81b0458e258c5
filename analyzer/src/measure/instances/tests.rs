//! Classes, lines, and how long.

use super::*;
use crate::testing;

/// A Node makes two from the same line, of which the second fails, and is deleted; a Till is made outside of that,
/// one more is not done.
const SCRIPT: &str = "
    0    7/7  function__entry       /srv/run.py:1:main           1
    10   7/7  instance__new__start  /srv/run.py:1:main           2  -  __main__.Node
    12   7/7  function__entry       /srv/run.py:10:Node.__init__ 10
    20   7/7  instance__new__start  /srv/run.py:10:Node.__init__ 11 -  __main__.Node
    24   7/7  instance__new__done   /srv/run.py:10:Node.__init__ 11 1  __main__.Node
    30   7/7  instance__new__start  /srv/run.py:10:Node.__init__ 11 -  __main__.Node
    33   7/7  instance__new__done   /srv/run.py:10:Node.__init__ 11 0  __main__.Node
    40   7/7  function__return      /srv/run.py:10:Node.__init__ 12
    50   7/7  instance__new__done   /srv/run.py:1:main           2  1  __main__.Node
    60   7/7  function__entry       /srv/run.py:20:Node.__del__  20
    65   7/7  function__return      /srv/run.py:20:Node.__del__  21
    66   7/7  function__entry       /srv/run.py:20:Node.__del__  20
    69   7/7  function__return      /srv/run.py:20:Node.__del__  21
    70   7/7  instance__new__start  /srv/run.py:1:main           3  -  shop.Till.Drawer
    75   7/7  instance__new__done   /srv/run.py:1:main           3  1  shop.Till.Drawer
    76   7/8  instance__new__done   /srv/run.py:1:main           3  1  shop.Till.Drawer
    80   7/7  instance__new__start  /srv/run.py:1:main           3  -  shop.Till.Drawer
    90   7/7  function__return      /srv/run.py:1:main           4
";

fn read(script: &str, filter: &Filter, patterns: &[&str]) -> Instances {
    let (trace, _directory) = testing::trace(script, 4);
    let patterns: Vec<Pattern> = patterns.iter().map(|text| text.parse().expect("a pattern")).collect();
    Instances::read(&trace, filter, &patterns).expect("a whole trace")
}

fn creations(created: u64, failed: u64, unfinished: u64, times_ns: [u64; 3]) -> Creations {
    let [total_ns, mean_ns, max_ns] = times_ns;
    Creations { created, failed, unfinished, total_ns, mean_ns: Some(mean_ns), max_ns: Some(max_ns) }
}

/// Each line of a class: its label, created, failed, total.
fn lines(class: &ClassInstances) -> Vec<(&str, u64, u64, u64)> {
    let mut rows = Vec::new();
    for CreatingLine { place, creations } in &class.lines {
        let label = place.as_ref().map_or("nobody", |place| place.label.as_str());
        rows.push((label, creations.created, creations.failed, creations.total_ns));
    }
    rows
}

#[test]
fn classes_and_lines_are_counted_and_a_node_in_a_node_takes_no_time_twice() {
    let all = read(SCRIPT, &Filter::default(), &[]);
    assert_eq!((all.recorded, all.has_functions), (5, true));
    let [node, drawer] = &all.classes[..] else { panic!("{:?}", all.classes) };
    assert_eq!((node.class.as_str(), node.creations), ("__main__.Node", creations(2, 1, 0, [40, 15, 40])));
    assert_eq!(
        lines(node),
        [("main (__main__:1), line 2", 1, 0, 40), ("Node.__init__ (__main__:10), line 11", 1, 1, 7)]
    );
    // One began before the recording did, one goes on.
    assert_eq!(
        (drawer.class.as_str(), drawer.creations),
        ("shop.Till.Drawer", creations(2, 0, 1, [5, 5, 5]))
    );
    let [finalizer] = &all.finalizers[..] else { panic!("{:?}", all.finalizers) };
    assert_eq!(finalizer.place.label, "Node.__del__ (__main__:20)");
    assert_eq!(
        (finalizer.calls, finalizer.total_ns, finalizer.mean_ns, finalizer.max_ns),
        (2, 8, Some(4), Some(5))
    );
}

#[test]
fn classes_and_functions_are_chosen() {
    let classes = |filter: Filter, patterns: &[&str]| {
        let classes = read(SCRIPT, &filter, patterns).classes;
        classes.into_iter().map(|class| (class.class, class.creations.created)).collect::<Vec<_>>()
    };
    let row = |class: &str, created| (class.to_owned(), created);
    for pattern in ["Drawer", "Till.*", "shop.*", "shop.Till.Drawer"] {
        assert_eq!(classes(Filter::default(), &[pattern]), [row("shop.Till.Drawer", 2)], "{pattern}");
    }
    assert_eq!(classes(Filter::default(), &["ill.Drawer", "Nod"]), []);
    let inside = Filter { root: Some("__init__".parse().expect("a pattern")), ..Filter::default() };
    assert_eq!(classes(inside, &[]), [row("__main__.Node", 1)]);
    let slow = Filter { min_time: std::time::Duration::from_nanos(6), ..Filter::default() };
    assert_eq!(classes(slow, &[]), [row("__main__.Node", 2)]);
    // What a function that is left out makes is made by its caller.
    let without = Filter { exclude: vec!["__init__".parse().expect("a pattern")], ..Filter::default() };
    let node = &read(SCRIPT, &without, &["Node"]).classes[0];
    assert_eq!(lines(node), [("main (__main__:1), line 2", 1, 0, 40), ("main (__main__:1)", 1, 1, 7)]);
}

#[test]
fn no_time_is_measured_across_a_loss() {
    let script = "
        10   7/7  instance__new__start  /srv/run.py:1:main  2  -  C
        30   7/7  lost                  -                   0  9  20
        50   7/7  instance__new__done   /srv/run.py:1:main  2  1  C
    ";
    let class = &read(script, &Filter::default(), &[]).classes[0];
    let expected = Creations { created: 1, ..Creations::default() };
    assert_eq!(class.creations, expected);
}
