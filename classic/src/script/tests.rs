//! Scripts, by what must stand in them. The tools themselves read them in `tests/classic.rs`.

use super::*;

fn python(library: Option<&str>, groups: &[Group], entry_needs_line: bool) -> Python {
    Python {
        program: "/opt/my python/bin/python3".into(),
        library: library.map(str::to_owned),
        version: Some("3.11.2".into()),
        groups: groups.to_vec(),
        entry_needs_line,
    }
}

#[test]
fn a_shared_build_has_its_markers_in_the_library() {
    let shared = python(Some("/opt/lib/libpython3.11.so.1.0"), &[Group::Gc], false);
    assert!(bpftrace(&shared).contains("usdt:\"/opt/lib/libpython3.11.so.1.0\":python:gc__start {"));
    for script in [stap(&shared), tapset(&shared)] {
        let place = "process(\"/opt/my python/bin/python3\").library(\"/opt/lib/libpython3.11.so.1.0\").mark(\"gc__start\")";
        assert!(script.contains(place), "{script}");
    }
    // The process says where they are.
    assert!(dtrace(&shared).contains("python$target:::gc-start\n"));
}

#[test]
fn entries_of_3_11_have_somebody_who_listens_to_line() {
    for (tool, probe) in
        [(bpftrace as fn(&Python) -> String, ":line "), (dtrace, ":::line\n"), (stap, "mark(\"line\")")]
    {
        let listens = |groups: &[Group], needs| tool(&python(None, groups, needs)).contains(probe);
        assert!(listens(&[Group::Function], true));
        assert!(!listens(&[Group::Function], false));
        assert!(!listens(&[Group::Gc], true));
        assert!(listens(&[Group::Line], true));
    }
}

#[test]
fn every_marker_has_a_line_of_the_layout() {
    let groups = [Group::Function, Group::Line, Group::Gc, Group::Import, Group::Audit];
    for tool in [bpftrace, dtrace, stap] {
        let script = tool(&python(None, &groups, true));
        for marker in groups.iter().flat_map(|group| group.markers()) {
            let count = script.matches(&format!("\\t{}\\t", marker.name())).count();
            assert_eq!(count, 1, "{marker}: {script}");
        }
        assert!(script.contains("# pyrec 1\\t") && script.contains("# end\\n"), "{script}");
    }
}

#[test]
fn a_path_cannot_end_its_string_or_its_comment() {
    let hostile = Python { program: "/a\"b\\c\n*/ d".into(), ..python(None, &[Group::Gc], false) };
    for script in [bpftrace(&hostile), stap(&hostile), tapset(&hostile)] {
        assert!(script.contains(r#"/a\"b\\c"#), "{script}");
        assert!(script.lines().filter(|line| line.starts_with("*/")).count() <= 1);
    }
    let script = dtrace(&hostile);
    assert_eq!(script.matches("*/").count(), 1, "{script}");
}
