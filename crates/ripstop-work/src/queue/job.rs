//! A job, before it is submitted.

use crate::routes::Route;
use ripstop_balance::Class;
use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

/// Work that gives a `T`, and how it is to be treated.
///
/// ```
/// # use ripstop_work::Job;
/// # use std::time::Duration;
/// let job = Job::call(|| 6 * 7).deadline(Duration::from_secs(1));
/// let later = Job::future(async { 6 * 7 });
/// # drop((job, later));
/// ```
pub struct Job<T> {
    pub(super) work: Pin<Box<dyn Future<Output = T> + Send>>,
    pub(super) class: Class,
    pub(super) deadline: Option<Duration>,
    pub(super) cost: Option<Duration>,
    pub(super) route: Option<Arc<Route>>,
}

impl<T: 'static> Job<T> {
    /// A job that calls `work`, which may block.
    pub fn call(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self::future(async { work() })
    }

    /// A job that drives `work` to its end, which may block too. While it waits, it holds no
    /// executor.
    pub fn future(work: impl Future<Output = T> + Send + 'static) -> Self {
        let work = Box::pin(work);
        Self { work, class: Class::default(), deadline: None, cost: None, route: None }
    }

    /// Which jobs go first. Default: [`Class::Normal`].
    #[must_use]
    pub fn class(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// It is not started later than this from now. Default: whenever its turn comes.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// What it is expected to cost; dear jobs let cheap ones go first. Default: what jobs of its
    /// route have cost.
    #[must_use]
    pub fn cost(self, cost: Duration) -> Self {
        Self { cost: Some(cost), ..self }
    }

    /// The route it belongs to: what is measured of it counts there.
    #[must_use]
    pub fn route(self, route: Arc<Route>) -> Self {
        Self { route: Some(route), ..self }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { work: _, class, deadline, cost, route } = self;
        f.debug_struct("Job")
            .field("class", class)
            .field("deadline", deadline)
            .field("cost", cost)
            .field("route", route)
            .finish_non_exhaustive()
    }
}
