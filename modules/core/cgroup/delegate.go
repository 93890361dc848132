package cgroup

// Leaf is the name of the cgroup that Settle makes. No container is called so:
// a name does not begin with that sign.
const Leaf = "@supervisor"
