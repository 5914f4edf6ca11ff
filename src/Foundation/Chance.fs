namespace Peft

/// A seeded source of chance: SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
/// generators"). Sixty-four bits of state and integer arithmetic only, so a seed means the same on every machine and
/// every version of .NET.
[<Sealed>]
type Chance(seed: uint64) =
    let mutable state = seed

    /// The next 64 bits.
    member _.Next() : uint64 =
        state <- state + 0x9E3779B97F4A7C15UL
        let first = (state ^^^ (state >>> 30)) * 0xBF58476D1CE4E5B9UL
        let second = (first ^^^ (first >>> 27)) * 0x94D049BB133111EBUL
        second ^^^ (second >>> 31)

    /// Another source that gives what this one will give.
    member _.Copy() : Chance = Chance state

    /// A whole number from 0 to `count` - 1.
    member chance.Below(count: int) : int =
        if count < 1 then
            invalidArg (nameof count) $"count is {count}, the least is 1"

        int (((chance.Next() >>> 32) * uint64 count) >>> 32)

    /// A whole number from `low` to `high`, both included.
    member chance.Between(low: int, high: int) : int = low + chance.Below(high - low + 1)

    /// True with this probability.
    member chance.Odds(probability: float) : bool =
        float (chance.Next() >>> 11) * (1.0 / 9007199254740992.0) < probability

    /// One of the items.
    member chance.Pick(items: 'a[]) : 'a = items[chance.Below items.Length]

    /// The items in another order.
    member chance.Shuffle(items: 'a[]) : 'a[] =
        let result = Array.copy items

        for last in result.Length - 1 .. -1 .. 1 do
            let other = chance.Below(last + 1)
            let kept = result[last]
            result[last] <- result[other]
            result[other] <- kept

        result

    /// `count` different items, or all of them where there are fewer.
    member chance.Sample(count: int, items: 'a[]) : 'a[] =
        chance.Shuffle items |> Array.truncate count

[<RequireQualifiedAccess>]
module Chance =
    /// The source of row `index` of a stream. Rows are independent: each can be made alone and in any order.
    let ofRow (stream: string) (seed: int) (index: int) : Chance =
        // FNV-1a over the stream's name keeps streams of one seed apart.
        let name =
            stream
            |> Seq.fold (fun hash letter -> (hash ^^^ uint64 letter) * 0x100000001B3UL) 0xCBF29CE484222325UL

        let mixed = Chance(name ^^^ (uint64 seed * 0x9E3779B97F4A7C15UL)).Next()
        Chance(Chance(mixed + uint64 index).Next())
