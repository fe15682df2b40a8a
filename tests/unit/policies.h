/*
 * policies.h - what the tests of policy/ share: the smallest policies, which their cases go on from.
 */
#ifndef TESTS_POLICIES_H
#define TESTS_POLICIES_H

#include "policy.h"

#include "check.h"

#define PATH "/etc/wrapsock/policy.conf"
#define C "[client a]\nmatch = *:1\n"
#define S "[server s]\nmatch = *:1\ncertfile = c\n"
#define ASKS S "cert_reqs = required\nca_certs = x\n"
#define PIN "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

#endif
