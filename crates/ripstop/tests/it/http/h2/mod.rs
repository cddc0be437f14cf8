//! HTTP/2 in clear text, by prior knowledge.

mod client;
mod frames;

mod deadlines;
mod floods;
mod refusals;
mod streams;
mod walls;
