// SPDX-License-Identifier: GPL-3.0-only
pragma circom 2.2.2;

include "../../node_modules/circomlib/circuits/bitify.circom";
include "../../node_modules/circomlib/circuits/comparators.circom";

// The only file that uses circomlib's comparators and bit decompositions.
// r is the field order, 2^253 < r < 2^254: for n <= 253 the n bits of a number are unique.

// Prove: in lies in [0, 2^n), and bit[] are its bits, lowest first.
// Caller's duty: n <= 253.
template UnsignedRange(n) {
    signal input in;            // number to check, any field element
    signal output bit[n];       // its bits, 0 or 1

    // circomspect CS0010: n <= 253 bits cannot reach r, so there is no second decomposition.
    assert(n <= 253);
    bit <== Num2Bits(n)(in);
}

// Prove: in, read as a signed number, satisfies |in| < 2^n, and isNotNegative tells whether it is 0 or more.
// The range is symmetric (-2^n itself is refused), so that a position and its closing have the same range.
// Width: in + 2^n in [0, 2^(n+1)) means in in [-2^n, 2^n); with n + 1 <= 253 no other element of the field fits.
// The top bit of in + 2^n is the sign and is bound by the unique decomposition, also for in = 0 (then it is 1).
// Caller's duty: n <= 252.
template SignedRange(n) {
    signal input in;                // signed number to check, any field element
    signal output isNotNegative;    // 1 when in >= 0, otherwise 0

    signal bit[n + 1] <== UnsignedRange(n + 1)(in + (1 << n));
    isNotNegative <== bit[n];

    // Only zero has no inverse, so this excludes in = -2^n.
    signal isLowest <== IsZero()(in + (1 << n));
    isLowest === 0;
}

// Prove: index lies in [0, n), isAt[index] is 1 and every other isAt[m] is 0.
// Width: n bits sum to at most n < r, so the sum 1 means that exactly one is set, and the weighted sum is its place.
// An index outside [0, n) has no such bits. The bits are unique.
template OneHot(n) {
    signal input index;         // any field element
    signal output isAt[n];      // 0 or 1, exactly one is 1

    var sum = 0;
    var place = 0;
    for (var m = 0; m < n; m++) {
        // circomspect CS0005: a hint only; the next line and the two sums below bind it.
        isAt[m] <-- index == m ? 1 : 0;
        isAt[m] * (isAt[m] - 1) === 0;
        sum += isAt[m];
        place += m * isAt[m];
    }
    signal count <== sum;
    count === 1;
    place === index;
}
