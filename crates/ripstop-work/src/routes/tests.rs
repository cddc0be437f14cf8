//! The table of routes.

use super::*;

fn target(path: &str) -> SeenRoute {
    SeenRoute::Target { method: "GET".into(), path: path.into() }
}

#[test]
fn a_route_that_stalls_twice_is_queued_and_others_are_not() {
    let routes = Routes::new(Duration::from_millis(20));
    assert!(routes.find(target("/a/1").as_name()).is_none());
    assert_eq!(routes.stalled(&target("/a/1")).run(), Run::Inline);
    assert_eq!(routes.stalled(&target("/a/2")).run(), Run::Queued);
    let found = routes.find(target("/a/3").as_name()).map(|route| route.run());
    assert_eq!(found, Some(Run::Queued));
    assert!(routes.find(target("/b").as_name()).is_none());
    let [state] = &routes.list()[..] else { panic!("{:?}", routes.list()) };
    assert_eq!(
        (&*state.name, state.run, state.stalls, state.changes),
        ("GET /a/{}", Run::Queued, 2, 1)
    );
}

#[test]
fn the_cost_is_a_mean_of_what_was_measured() {
    let routes = Routes::new(Duration::from_millis(20));
    let route = routes.enter(RouteName::Named("thumbnails"));
    assert_eq!(route.cost(), None);
    let took = Duration::from_millis(8);
    routes.ran(&route, took, took);
    assert_eq!(route.cost(), Some(took));
}

#[test]
fn the_table_is_bounded_and_keeps_what_was_learned() {
    let routes = Routes::new(Duration::from_millis(20));
    let bad = RouteName::Named("bad");
    for _ in 0..2 {
        routes.stalled(&SeenRoute::Named("bad".into()));
    }
    for nth in 0..2 * ENTRIES {
        routes.enter(RouteName::Named(&format!("route {nth}")));
    }
    assert_eq!(routes.table.load().len(), ENTRIES);
    assert_eq!(routes.find(bad).map(|route| route.run()), Some(Run::Queued));
}

#[test]
fn where_all_are_queued_the_rest_share_one_entry() {
    let routes = Routes::new(Duration::from_millis(20));
    for nth in 0..ENTRIES + 10 {
        for _ in 0..2 {
            routes.stalled(&SeenRoute::Named(format!("route {nth}")));
        }
    }
    assert_eq!(routes.table.load().len(), ENTRIES);
    let late = routes.find(RouteName::Named("route 1030")).expect("they share one");
    assert_eq!((&**late.name(), late.run()), (OTHERS, Run::Queued));
}
