//! The rules of `line.rs`, as tables and random walks.

use super::*;

const WIDE: Bounds = Bounds { jobs: usize::MAX, work: Duration::MAX };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn offer(class: Class, cost: u64) -> Offer {
    Offer { class, cost: ms(cost), deadline: None }
}

/// The job that runs next; there is one, and it has not expired.
#[track_caller]
fn run<J: fmt::Debug>(line: &mut Line<J>, now: u64) -> (Ticket, J) {
    match line.pop(ms(now)) {
        Some(Next::Run(ticket, job)) => (ticket, job),
        other => panic!("a job should run, not {other:?}"),
    }
}

/// Jobs of (arrival, class, cost), numbered, run in the order `expected`.
#[track_caller]
fn check_order(jobs: &[(u64, Class, u64)], expected: &[usize]) {
    let mut line = Line::new(WIDE);
    for (number, &(arrival, class, cost)) in jobs.iter().enumerate() {
        line.push(ms(arrival), offer(class, cost), number).expect("there is no bound");
    }
    let order: Vec<_> = jobs.iter().map(|_| run(&mut line, 0).1).collect();
    assert_eq!(order, expected, "{jobs:?}");
    assert!(line.is_empty() && line.pop(ms(0)).is_none());
}

#[test]
fn classes_come_before_cost_and_cost_before_arrival() {
    use Class::{Background, Normal, Urgent};
    check_order(&[(0, Background, 0), (1, Normal, 0), (2, Urgent, 900)], &[2, 1, 0]);
    check_order(&[(0, Normal, 5), (1, Normal, 5), (2, Normal, 5)], &[0, 1, 2]);
    check_order(&[(7, Normal, 0), (7, Normal, 0), (7, Normal, 0)], &[0, 1, 2]);
    check_order(&[(0, Normal, 5), (49, Normal, 0)], &[1, 0]);
    check_order(&[(0, Normal, 5), (50, Normal, 0)], &[0, 1]);
    check_order(&[(0, Normal, 5), (0, Normal, 4)], &[1, 0]);
}

#[test]
fn a_costly_job_waits_behind_what_comes_within_ten_times_its_cost() {
    let mut line = Line::new(WIDE);
    line.push(ms(0), offer(Class::Normal, 100), None).expect("there is no bound");
    let mut overtaken_by = 0;
    for now in 0_u64.. {
        line.push(ms(now), offer(Class::Normal, 0), Some(now)).expect("there is no bound");
        let Some(arrival) = run(&mut line, now).1 else { break };
        assert_eq!(arrival, now);
        overtaken_by += 1;
    }
    assert_eq!(overtaken_by, 1_000);
}

#[test]
fn a_cost_beyond_all_clocks_goes_last_in_its_class() {
    let mut line = Line::new(WIDE);
    let endless = Offer { cost: Duration::MAX, ..Offer::default() };
    line.push(ms(1), endless, "endless").expect("there is no bound");
    line.push(ms(2), endless, "endless too").expect("there is no bound");
    line.push(ms(3), offer(Class::Normal, 1), "short").expect("there is no bound");
    let order: Vec<_> = (0..3).map(|_| run(&mut line, 3).1).collect();
    assert_eq!(order, ["short", "endless", "endless too"]);
}

/// With `bounds`, all but the last of jobs with `costs` are taken, and that is refused.
#[track_caller]
fn check_full(bounds: Bounds, costs: &[u64], bound: Bound) {
    let mut line = Line::new(bounds);
    let (&last, before) = costs.split_last().expect("a table has a job");
    for &cost in before {
        line.push(ms(0), offer(Class::Normal, cost), cost).expect("there is room");
    }
    let refused = line.push(ms(0), offer(Class::Urgent, last), last);
    assert_eq!(refused, Err(Full { job: last, bound }), "{costs:?}");
    assert_eq!(line.len(), before.len());
}

#[test]
fn a_full_line_gives_the_job_back_and_says_why() {
    let bounds = |jobs, work| Bounds { jobs, work: ms(work) };
    check_full(bounds(0, 100), &[0], Bound::Jobs);
    check_full(bounds(2, 100), &[1, 1, 1], Bound::Jobs);
    check_full(bounds(9, 100), &[60, 40, 1], Bound::Work);
    check_full(bounds(9, 100), &[60, 41], Bound::Work);
}

#[test]
fn a_job_beyond_the_bound_of_work_is_taken_when_nothing_waits() {
    check_full(Bounds { jobs: 9, work: ms(100) }, &[101, 0], Bound::Work);
}

#[test]
fn a_job_that_started_does_not_count_and_keeps_its_rank() {
    let mut line = Line::new(Bounds { jobs: 1, work: ms(10) });
    line.push(ms(0), offer(Class::Normal, 10), "first").expect("there is room");
    let (ticket, first) = run(&mut line, 5);
    line.push(ms(101), offer(Class::Normal, 10), "second").expect("there is room");
    line.push_again(ticket, first);
    assert_eq!((line.len(), line.work(), line.oldest()), (2, ms(10), Some(ms(101))));
    let again = run(&mut line, 102);
    assert_eq!(again.1, "first");
    assert!(line.push(ms(103), Offer::default(), "third").is_err());
    assert_eq!(run(&mut line, 104).1, "second");
    assert_eq!((line.len(), line.work(), line.oldest()), (0, ms(0), None));
}

#[test]
#[should_panic(expected = "a job that waits is not pushed again")]
fn a_job_that_waits_is_not_pushed_again() {
    let mut line = Line::new(WIDE);
    let ticket = line.push(ms(0), Offer::default(), 1).expect("there is no bound");
    line.push_again(ticket, 1);
}

#[test]
fn a_job_expires_at_its_deadline_and_not_before() {
    for (now, expired) in [(49, false), (50, true), (51, true)] {
        let mut line = Line::new(WIDE);
        let soon = Offer { deadline: Some(ms(50)), ..Offer::default() };
        line.push(ms(0), soon, ()).expect("there is no bound");
        assert_eq!(matches!(line.pop(ms(now)), Some(Next::Expired(()))), expired, "at {now} ms");
    }
}

#[test]
fn a_job_that_was_started_in_time_does_not_expire() {
    let mut line = Line::new(WIDE);
    let soon = Offer { deadline: Some(ms(50)), ..Offer::default() };
    line.push(ms(0), soon, ()).expect("there is no bound");
    let (ticket, ()) = run(&mut line, 49);
    line.push_again(ticket, ());
    assert!(matches!(line.pop(ms(50)), Some(Next::Run(_, ()))));
}

#[test]
fn a_cancelled_job_leaves_the_line_once() {
    let mut line = Line::new(WIDE);
    let ticket = line.push(ms(3), offer(Class::Normal, 7), 'a').expect("there is no bound");
    line.push(ms(4), offer(Class::Normal, 5), 'b').expect("there is no bound");
    assert_eq!(line.oldest(), Some(ms(3)));
    assert_eq!(line.remove(&ticket), Some('a'));
    assert_eq!((line.len(), line.work(), line.oldest()), (1, ms(5), Some(ms(4))));
    assert_eq!(line.remove(&ticket), None);
    assert_eq!(run(&mut line, 5).1, 'b');
}

#[test]
fn a_random_walk_loses_nothing_and_runs_nothing_twice() {
    for seed in 1..=30 {
        println!("seed {seed}");
        let mut walk = Walk::new(seed);
        for _ in 0..2_000 {
            walk.step();
            walk.check();
        }
    }
}

/// A line beside a plain list of what should be in it.
struct Walk {
    line: Line<u64>,
    model: Vec<Model>,
    started: Vec<(Model, Ticket)>,
    now: u64,
    pushed: u64,
    random: u64,
}

#[derive(Clone, Debug)]
struct Model {
    job: u64,
    ticket: Ticket,
    arrival: u64,
    offer: Offer,
    fresh: bool,
}

impl Model {
    /// The rank as the documentation states it, not as the line keeps it.
    fn rank(&self) -> (Class, Duration, u64) {
        (self.offer.class, ms(self.arrival) + 10 * self.offer.cost, self.job)
    }
}

const BOUNDS: Bounds = Bounds { jobs: 40, work: Duration::from_millis(400) };

impl Walk {
    fn new(seed: u64) -> Self {
        let line = Line::new(BOUNDS);
        Self { line, model: vec![], started: vec![], now: 100, pushed: 0, random: seed }
    }

    fn draw(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    /// An index below `len`, which is not zero.
    fn pick(&mut self, len: usize) -> usize {
        usize::try_from(self.draw(len as u64)).expect("it is below a length")
    }

    fn step(&mut self) {
        self.now += self.draw(5);
        match self.draw(10) {
            0..5 => self.push(),
            5..8 => self.pop(),
            8 if !self.started.is_empty() => {
                let at = self.pick(self.started.len());
                let (job, ticket) = self.started.swap_remove(at);
                self.line.push_again(ticket, job.job);
                self.model.push(job);
            }
            _ if !self.model.is_empty() => {
                let at = self.pick(self.model.len());
                let job = self.model.swap_remove(at);
                assert_eq!(self.line.remove(&job.ticket), Some(job.job));
                assert_eq!(self.line.remove(&job.ticket), None);
            }
            _ => {}
        }
    }

    fn push(&mut self) {
        let class = Class::ALL[self.pick(3)];
        let cost = ms(self.draw(30));
        let deadline = (self.draw(2) == 0).then(|| ms(self.now + self.draw(200)));
        let offer = Offer { class, cost, deadline };
        let arrival = self.now - self.draw(3);
        let (fresh, work) = self.counted();
        let job = self.pushed;
        match self.line.push(ms(arrival), offer, job) {
            Ok(ticket) => {
                assert!(fresh < BOUNDS.jobs && (fresh == 0 || work + cost <= BOUNDS.work));
                self.model.push(Model { job, ticket, arrival, offer, fresh: true });
                self.pushed += 1;
            }
            Err(Full { bound: Bound::Jobs, .. }) => assert_eq!(fresh, BOUNDS.jobs),
            Err(Full { bound: Bound::Work, .. }) => assert!(work + cost > BOUNDS.work),
        }
    }

    fn pop(&mut self) {
        let first = (0..self.model.len()).min_by_key(|&at| self.model[at].rank());
        let expected = first.map(|at| self.model.swap_remove(at));
        let passed = |at| ms(self.now) >= at;
        let expired = |job: &Model| job.fresh && job.offer.deadline.is_some_and(passed);
        match (self.line.pop(ms(self.now)), expected) {
            (None, None) => {}
            (Some(Next::Expired(got)), Some(job)) => {
                assert!(got == job.job && expired(&job), "{job:?}");
            }
            (Some(Next::Run(ticket, got)), Some(job)) => {
                assert!(got == job.job && ticket == job.ticket && !expired(&job), "{job:?}");
                self.started.push((Model { fresh: false, ..job }, ticket));
            }
            (got, job) => panic!("{got:?} instead of {job:?}"),
        }
    }

    /// How many jobs count, and how much work.
    fn counted(&self) -> (usize, Duration) {
        let fresh = || self.model.iter().filter(|job| job.fresh);
        (fresh().count(), fresh().map(|job| job.offer.cost).sum())
    }

    fn check(&self) {
        let oldest = self.model.iter().filter(|job| job.fresh).map(|job| ms(job.arrival)).min();
        assert_eq!(self.line.len(), self.model.len());
        assert_eq!(self.line.is_empty(), self.model.is_empty());
        assert_eq!((self.line.fresh, self.line.work()), self.counted());
        assert_eq!(self.line.oldest(), oldest);
    }
}
