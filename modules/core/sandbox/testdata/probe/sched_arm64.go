package main

const sysSchedGetattr = 275
