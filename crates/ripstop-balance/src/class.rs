//! The classes of jobs: who goes first whatever the order within a class says.

use std::{fmt, str::FromStr};

/// How urgent a job is. Every job of an earlier class goes before any of a later one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Before all others: short work that somebody watches.
    Urgent,
    /// What nothing else was said about.
    #[default]
    Normal,
    /// Only when nothing else waits; it may starve while the other classes keep all busy.
    Background,
}

impl Class {
    /// Every class, in the order in which their jobs run.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Background];

    /// The class's name in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Background => "background",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Class {
    type Err = ParseClassError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or(ParseClassError)
    }
}

/// The text names no class of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseClassError;

impl fmt::Display for ParseClassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown class, expected urgent, normal or background")
    }
}

impl std::error::Error for ParseClassError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_parsed_from_its_name() {
        for class in Class::ALL {
            assert_eq!(class.to_string().parse(), Ok(class));
        }
        assert_eq!("Urgent".parse::<Class>(), Err(ParseClassError));
    }

    #[test]
    fn classes_are_listed_in_the_order_in_which_they_run() {
        assert!(Class::ALL.is_sorted());
    }
}
