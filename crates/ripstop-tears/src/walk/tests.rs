//! Walks over memory that was made up: word by word from 0x1000, code from 0xc000.

use super::*;

const BASE: usize = 0x1000;
const OWN: Range<usize> = 0xc000..0xd000;
const LIBC: Range<usize> = 0xd000..0xe000;

#[derive(Default, Debug, PartialEq)]
struct Seen {
    frames: Vec<usize>,
    suspects: Vec<usize>,
}

impl Found for Seen {
    fn frame(&mut self, address: usize) {
        self.frames.push(address);
    }

    fn suspect(&mut self, address: usize) {
        self.suspects.push(address);
    }
}

/// The address of a word.
const fn at(index: usize) -> usize {
    BASE + index * WORD
}

fn walked(pc: usize, fp: usize, words: &[usize]) -> Seen {
    let stack = BASE..at(words.len());
    let word = |address: usize| {
        assert!(stack.contains(&address) && address.is_multiple_of(WORD), "read at {address:#x}");
        Some(words[(address - BASE) / WORD])
    };
    let is_code = |address| OWN.contains(&address) || LIBC.contains(&address);
    let memory = Memory { stack: stack.clone(), own: OWN, word, is_code };
    let mut seen = Seen::default();
    walk(Registers { pc, sp: BASE, fp, link: None }, &memory, &mut seen);
    seen
}

#[track_caller]
fn check(pc: usize, fp: usize, words: &[usize], frames: &[usize], suspects: &[usize]) {
    let (frames, suspects) = (frames.to_vec(), suspects.to_vec());
    assert_eq!(walked(pc, fp, words), Seen { frames, suspects });
}

#[test]
fn frames_are_followed_to_the_end() {
    let words = [0, at(4), 0xc001, 7, at(6), 0xc002, 0, 0xc003];
    check(0xc000, at(1), &words, &[0xc001, 0xc002, 0xc003], &[]);
}

#[test]
fn frames_that_go_in_circles_end() {
    check(0xc000, at(0), &[at(0), 0xc001], &[0xc001], &[]);
    check(0xc000, at(0), &[at(2), 0xc001, at(0), 0xc002, 0, 0], &[0xc001, 0xc002], &[]);
}

#[test]
fn frames_that_are_nowhere_end() {
    for caller in [0, 1, at(2) + 1, BASE - WORD, at(4), at(3), usize::MAX, usize::MAX - 7] {
        check(0xc000, at(0), &[caller, 0xc001, 0, 0], &[0xc001], &[]);
    }
}

#[test]
fn a_return_address_that_is_no_code_ends_the_walk() {
    check(0xc000, at(0), &[at(2), 0xc001, at(4), 0xb000, 0, 0], &[0xc001], &[]);
}

#[test]
fn a_stack_without_frames_has_none() {
    check(0xc000, 0x77, &[], &[], &[]);
    check(0xc000, at(0), &[1, 2, 3, 4], &[], &[]);
}

#[test]
fn a_thread_on_another_stack_is_not_walked() {
    let memory = Memory {
        stack: BASE..at(2),
        own: OWN,
        word: |_| -> Option<usize> { panic!("read") },
        is_code: |_| true,
    };
    let mut seen = Seen::default();
    walk(Registers { pc: 1, sp: at(9), fp: at(0), link: Some(0xc001) }, &memory, &mut seen);
    assert_eq!(seen, Seen::default());
}

#[test]
fn the_caller_of_the_c_library_is_among_the_suspects() {
    let words = [5, 0xd001, 6, 0xc009, 7, at(7), 0xc001, 0, 0xc002];
    check(0xd000, at(5), &words, &[0xc001, 0xc002], &[0xd001, 0xc009]);
}

#[test]
fn a_frame_pointer_that_the_c_library_used_for_itself_is_found_again() {
    let words =
        [5, 0xd001, 6, at(4), 0xd002, at(1), 0xc009, at(9), 0xc001, at(11), 0xc002, 0, 0xc003];
    // What looks like a frame at 3 leads nowhere.
    check(0xd000, 0x77, &words, &[0xc001, 0xc002, 0xc003], &[0xd001, 0xd002, 0xc009]);
}

#[test]
fn frames_that_were_lost_in_the_middle_are_found_again() {
    let words = [0x77, 0xc001, 0, 0xd001, 8, at(7), 0xc002, 0, 0xc003];
    check(0xc000, at(0), &words, &[0xc001, 0xc002, 0xc003], &[]);
}

#[test]
fn a_deep_stack_is_cut_off() {
    let words: Vec<_> = (0..200).flat_map(|index| [at(2 * index + 2), 0xc001]).collect();
    let seen = walked(0xc000, at(0), &words);
    assert_eq!(seen.frames.len(), DEPTH);
}

#[test]
fn any_memory_is_walked_within_bounds() {
    let mut random = ripstop_testkit::Seed::from_env_or_clock().random();
    for _ in 0..2_000 {
        let len = random.below(300);
        let words: Vec<_> = (0..len)
            .map(|_| match random.below(4) {
                0 => random.number() as usize,
                1 => 0xc000 + random.below(0x2000),
                2 => at(random.below(len + 2)) + random.below(2),
                _ => at(random.below(len)),
            })
            .collect();
        let seen = walked(0xd000, at(random.below(len + 1)), &words);
        assert!(seen.frames.len() <= DEPTH && seen.suspects.len() <= SUSPECTS);
    }
}
