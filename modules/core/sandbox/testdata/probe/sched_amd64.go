package main

const sysSchedGetattr = 315
