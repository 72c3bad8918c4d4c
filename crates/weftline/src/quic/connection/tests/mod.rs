mod echo;
mod pair;
