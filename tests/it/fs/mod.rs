//! Files, folders and paths.

mod cancelled;
mod file;
mod folder;
mod path;
mod temporary;
