//! Requests to whole configurations: who answers, and with what.

use std::{fs, path::Path, pin::pin, task::Waker};

use http_body_util::{BodyExt as _, Empty};

use super::*;
use crate::{config::Sources, open};

/// The site of a configuration whose paths start from `folder`.
#[track_caller]
fn site(folder: &Path, text: &str) -> CurrentSite {
    let file = folder.join("ripstop.toml");
    fs::write(&file, text).unwrap();
    let opened = open::open(&Sources { file: Some(file), ..Sources::default() });
    CurrentSite::new(opened.unwrap_or_else(|faults| panic!("{faults}")).site)
}

fn request(method: &str, host: &str, path: &str) -> Request<Empty<Bytes>> {
    let request = Request::builder().method(method).uri(path).header("host", host);
    request.body(Empty::new()).unwrap()
}

/// Polls what needs nobody else to make progress.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("an answer from memory is there at once"),
    }
}

/// Status, `Location` and body of an answer that needs no disk.
fn ask(site: &CurrentSite, method: &str, host: &str, path: &str) -> (u16, String, String) {
    let response = now(site.clone().call(request(method, host, path))).unwrap();
    let location = response.headers().get("location").map(|value| value.to_str().unwrap());
    let (status, location) = (response.status().as_u16(), location.unwrap_or("").to_owned());
    let body = now(response.into_body().collect()).unwrap().to_bytes();
    (status, location, String::from_utf8(body.to_vec()).unwrap())
}

/// Routes that answer with their own number.
fn numbered(routes: &[(&str, &str)]) -> String {
    let route = |(number, (host, path)): (usize, &(&str, &str))| {
        format!("[[route]]\nhost = \"{host}\"\npath = \"{path}\"\nrespond.body = \"{number}\"\n")
    };
    routes.iter().enumerate().map(route).collect()
}

#[test]
fn the_most_special_route_answers_whatever_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let routes = [
        ("*", "/*"),
        ("*", "/a/*"),
        ("*", "/a/b"),
        ("*.org", "/*"),
        ("*.a.org", "/a/*"),
        ("www.a.org", "/a/*"),
        ("*", "/*.css"),
    ];
    let site = site(folder.path(), &numbered(&routes));
    let cases = [
        ("b.net", "/", "0"),
        ("b.net", "/a/", "1"),
        ("b.net", "/a", "1"),
        ("b.net", "/a/b", "2"),
        ("b.net", "/a/x.css", "1"),
        ("b.net", "/x/y.css", "6"),
        ("b.org", "/a/b", "3"),
        ("x.a.org:8080", "/a/b", "4"),
        ("WWW.A.ORG", "/a/b", "5"),
        ("www.a.org", "/b", "3"),
        ("b.net", "/%61/b", "2"),
        ("b.net", "//a/b", "2"),
        ("b.net", "/x/../a/b?q", "2"),
        ("[::1]:80", "/a/b", "2"),
    ];
    for (host, path, number) in cases {
        let (status, _, body) = ask(&site, "GET", host, path);
        assert_eq!((status, body.as_str()), (200, number), "{host} {path}");
    }
}

#[test]
fn without_a_route_the_answer_is_404() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path(), &numbered(&[("a.org", "/a")]));
    assert_eq!(ask(&site, "GET", "a.org", "/b").0, 404);
    assert_eq!(ask(&site, "GET", "b.org", "/a").0, 404);
    assert_eq!(ask(&site, "GET", "", "/a").0, 404);
}

#[test]
fn a_fixed_answer_is_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(
        folder.path(),
        "[[route]]\npath = \"/\"\n[route.respond]\nstatus = 418\nbody = \"tea\"\n\
         content_type = \"text/x-tea\"\nheaders = { x-a = \"1\" }\n\
         [[route]]\npath = \"/none\"\nrespond.status = 204\n",
    );
    for (method, body) in [("GET", "tea"), ("POST", "tea"), ("HEAD", "")] {
        assert_eq!(ask(&site, method, "a", "/"), (418, String::new(), body.to_owned()), "{method}");
    }
    let response = now(site.clone().call(request("HEAD", "a", "/"))).unwrap();
    for (name, value) in [("content-length", "3"), ("content-type", "text/x-tea"), ("x-a", "1")] {
        assert_eq!(response.headers()[name], value);
    }
    let response = now(site.clone().call(request("GET", "a", "/none"))).unwrap();
    assert_eq!(response.headers().get("content-length"), None);
}

#[test]
fn redirects_fill_their_target() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(
        folder.path(),
        "[[route]]\npath = \"/*\"\nredirect = { to = \"https://{host}{path}{query}\", status = 308 }\n\
         [[route]]\npath = \"/old/*\"\nredirect.to = \"/new/{rest}\"\n",
    );
    let cases = [
        ("/a?b=c", 308, "https://a.org/a?b=c"),
        ("/old/x%20y", 307, "/new/x%20y"),
        ("/old/", 307, "/new/"),
    ];
    for (path, status, location) in cases {
        let answer = ask(&site, "GET", "a.org:80", path);
        assert_eq!(answer, (status, location.to_owned(), String::new()), "{path}");
    }
}

#[test]
fn without_routes_the_welcome_page_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path(), "[[listen]]\naddress = \"unix:/<x>\"\n");
    let (status, _, page) = ask(&site, "GET", "a", "/");
    assert_eq!(status, 200);
    assert!(page.contains(env!("CARGO_PKG_VERSION")), "{page}");
    assert!(page.contains("unix:/&lt;x&gt;"), "{page}");
    for gap in ["{version}", "{listeners}", "{workers}", "{spares}", "{health}"] {
        assert!(!page.contains(gap), "{gap}");
    }
    assert_eq!(ask(&site, "GET", "a", "/else").0, 404);
}

#[test]
fn a_swapped_site_answers_new_requests() {
    let folder = tempfile::tempdir().unwrap();
    let current = site(folder.path(), &numbered(&[("*", "/")]));
    let before = current.clone().call(request("GET", "a", "/"));
    let text = "[[route]]\npath = \"/\"\nrespond.body = \"new\"\n";
    let new = folder.path().join("new.toml");
    fs::write(&new, text).unwrap();
    let opened = open::open(&Sources { file: Some(new), ..Sources::default() });
    current.swap(opened.unwrap_or_else(|faults| panic!("{faults}")).site);
    assert_eq!(ask(&current, "GET", "a", "/").2, "new");
    let old = now(now(before).unwrap().into_body().collect()).unwrap().to_bytes();
    assert_eq!(old, "0");
}
