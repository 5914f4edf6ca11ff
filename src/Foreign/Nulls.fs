namespace Peft

/// Two systems that are equally good, drawn again and again: how often they are called different.
[<RequireQualifiedAccess>]
module Nulls =
    /// Permutations of each test. 5 % of 200 is a whole number, so that the test's size is exact.
    let private draws = 199

    let private sizes = [| 40; 60; 100; 150; 200; 300 |]

    let private uniform (chance: Chance) =
        float (chance.Next() >>> 11) / 9007199254740992.0

    /// Right or wrong: each row has a difficulty of its own, and both systems are right on it with the same probability.
    let private labels (chance: Chance) (rows: int) : float[] * float[] =
        let easy = uniform chance

        let right difficulty =
            if uniform chance < difficulty then 1.0 else 0.0

        let rows =
            Array.init rows (fun _ ->
                let difficulty = 0.5 * easy + 0.5 * uniform chance
                right difficulty, right difficulty)

        Array.unzip rows

    /// Scores from 0 to 1, skewed, that share a part.
    let private texts (chance: Chance) (rows: int) : float[] * float[] =
        let shared = uniform chance

        let rows =
            Array.init rows (fun _ ->
                let common = uniform chance

                let own () =
                    shared * common + (1.0 - shared) * uniform chance ** 3.0

                own (), own ())

        Array.unzip rows

    /// The share of so many true nulls that `RowPairs.p` rejects at 5 %: right and wrong, and other scores, by turns.
    let rejected (count: int) (seed: uint64) : float * float =
        let chance = Chance seed

        let share (draw: Chance -> int -> float[] * float[]) (count: int) =
            let mutable rejected = 0

            for number in 1..count do
                let left, right = draw chance sizes[chance.Below sizes.Length]

                if RowPairs.p draws (uint64 number) left right <= 0.05 then
                    rejected <- rejected + 1

            float rejected / float count

        share labels (count / 2), share texts (count - count / 2)
