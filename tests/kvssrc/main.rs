//! kvssrc in real pipelines, against the emulator over real sockets.

mod body;
mod chain;
mod changes;
mod credentials;
mod elementary;
mod errors;
mod gaps;
mod judges;
mod lines;
mod range;
mod secrets;
mod shutdown;
mod support;
mod time;
