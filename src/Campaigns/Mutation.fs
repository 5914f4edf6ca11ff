namespace Peft.Campaigns

open System
open System.Text
open Peft

/// Ways to spoil bytes, each decided by its source of chance alone.
[<RequireQualifiedAccess>]
module Mutation =
    /// Numbers at which readers turn wrong: ends of ranges, signs, counts just above what a file can hold.
    let numbers: uint64[] =
        [|
            yield!
                [
                    0UL
                    1UL
                    2UL
                    7UL
                    8UL
                    0x7FUL
                    0x80UL
                    0xFFUL
                    0x100UL
                    0x7FFFUL
                    0x8000UL
                    0xFFFFUL
                ]
            yield!
                [
                    1UL <<< 20
                    1UL <<< 28
                    1UL <<< 30
                    0x7FFFFFFFUL
                    0x80000000UL
                    0xFFFFFFFEUL
                    0xFFFFFFFFUL
                ]
            yield!
                [
                    1UL <<< 32
                    1UL <<< 40
                    1UL <<< 62
                    UInt64.MaxValue >>> 1
                    1UL <<< 63
                    UInt64.MaxValue
                ]
        |]

    /// The same as text, and what is no number but is written where one should be.
    let numerals: string[] =
        [|
            for number in numbers do
                string number

            yield!
                [
                    "-1"
                    "-2147483649"
                    "-9223372036854775808"
                    "0.5"
                    "-0.0"
                    "1e308"
                    "1e999"
                    "-1e999"
                    "1e-400"
                ]
            yield!
                [
                    "NaN"
                    "Infinity"
                    "null"
                    "true"
                    "999999"
                    "20000000"
                    "00"
                    "+1"
                    "1_000"
                    "0x10"
                ]
            String('9', 10_000)
        |]

    /// Texts that mean something to one of the readers, or to what prints their messages.
    let tokens: string[] =
        [|
            yield!
                [
                    "\""
                    "\\"
                    "\n"
                    "\r\n"
                    "\t"
                    ","
                    "\u0000"
                    "\u001b[31m"
                    "\ufeff"
                    "\u2028"
                    "{"
                    "}"
                    "["
                    "]"
                ]
            yield!
                [
                    "PAR1"
                    "__metadata__"
                    "../../etc/passwd"
                    "/dev/zero"
                    "=HYPERLINK(\"x\")"
                    "\\ud800"
                    "\\u0000"
                ]
            yield!
                [
                    "lora(rank=999999999)"
                    "adapter(width=999999)"
                    "prefix(tokens=20000000)"
                    "vera(rank=999999)"
                ]
            yield!
                [
                    "prompt(tokens=20000000)"
                    "lora(rank=1,alpha=1e308)"
                    "a+a"
                    "(((("
                    "shared.weight"
                    "<extra_id_0>"
                ]
            String(' ', 20_000)
            String('(', 20_000)
            String('a', 100_000)
        |]

    let private place (chance: Chance) (bytes: byte[]) (width: int) : int =
        // Headers and footers hold the lengths: half of all numbers are written there.
        let last = bytes.Length - width

        match chance.Below 4 with
        | 0 -> chance.Below(min 16 last + 1)
        | 1 -> last - chance.Below(min 64 last + 1)
        | _ -> chance.Below(last + 1)

    let private insert (at: int) (more: byte[]) (bytes: byte[]) : byte[] =
        Array.concat [ bytes[.. at - 1]; more; bytes[at..] ]

    let private slice (chance: Chance) (bytes: byte[]) : int * int =
        let start = chance.Below bytes.Length
        start, 1 + chance.Below(min 256 (bytes.Length - start))

    let private flip (chance: Chance) (bytes: byte[]) : byte[] =
        let result = Array.copy bytes

        for _ in 0 .. chance.Below 8 do
            let at = chance.Below result.Length
            result[at] <- result[at] ^^^ (1uy <<< chance.Below 8)

        result

    let private run (chance: Chance) (bytes: byte[]) : byte[] =
        let start, length = slice chance bytes
        let value = chance.Pick [| 0uy; 0xFFuy; 0x20uy; 0x16uy; byte (chance.Below 256) |]
        let result = Array.copy bytes
        Array.fill result start (if chance.Odds 0.5 then 1 else length) value
        result

    let private truncate (chance: Chance) (bytes: byte[]) : byte[] =
        if chance.Odds 0.5 then
            bytes[.. chance.Below bytes.Length - 1]
        else
            bytes[.. bytes.Length - 1 - chance.Below(min 16 bytes.Length)]

    let private delete (chance: Chance) (bytes: byte[]) : byte[] =
        let start, length = slice chance bytes
        Array.append bytes[.. start - 1] bytes[start + length ..]

    let private repeat (chance: Chance) (bytes: byte[]) : byte[] =
        let start, length = slice chance bytes
        let times = chance.Pick [| 1; 1; 2; 16; 64 |]
        insert start (Array.concat (Array.replicate times bytes[start .. start + length - 1])) bytes

    let private number (chance: Chance) (bytes: byte[]) : byte[] =
        let width = min bytes.Length (chance.Pick [| 1; 2; 4; 8 |])
        let value = BitConverter.GetBytes(chance.Pick numbers)[.. width - 1]
        let result = Array.copy bytes
        let ordered = if chance.Odds 0.25 then Array.rev value else value
        Array.blit ordered 0 result (place chance bytes width) width
        result

    /// A protocol buffer's or thrift's number of several bytes in the place of one.
    let private varint (chance: Chance) (bytes: byte[]) : byte[] =
        let value =
            chance.Pick
                [|
                    [| 0xFFuy; 0xFFuy; 0xFFuy; 0xFFuy; 0x07uy |]
                    [| 0xFFuy; 0xFFuy; 0xFFuy; 0xFFuy; 0x0Fuy |]
                    [| 0x80uy; 0x80uy; 0x80uy; 0x80uy; 0x10uy |]
                    Array.append (Array.create 9 0xFFuy) [| 0x01uy |]
                |]

        let at = place chance bytes 1

        if chance.Odds 0.5 then
            let result = Array.copy bytes
            Array.blit value 0 result at (min value.Length (bytes.Length - at))
            result
        else
            Array.concat [ bytes[.. at - 1]; value; bytes[at + 1 ..] ]

    /// Another numeral in the place of one that is written in digits.
    let private numeral (chance: Chance) (bytes: byte[]) : byte[] =
        let isDigit (value: byte) = value >= 48uy && value <= 57uy

        let starts =
            [|
                for at in 0 .. bytes.Length - 1 do
                    if isDigit bytes[at] && (at = 0 || not (isDigit bytes[at - 1])) then
                        at
            |]

        if starts.Length = 0 then
            flip chance bytes
        else
            let at = chance.Pick starts
            let length = bytes[at..] |> Seq.takeWhile isDigit |> Seq.length

            Array.concat
                [
                    bytes[.. at - 1]
                    Encoding.UTF8.GetBytes(chance.Pick numerals)
                    bytes[at + length ..]
                ]

    let private token (chance: Chance) (bytes: byte[]) : byte[] =
        insert (chance.Below(bytes.Length + 1)) (Encoding.UTF8.GetBytes(chance.Pick tokens)) bytes

    let private splice (chance: Chance) (bytes: byte[]) (other: byte[]) : byte[] =
        if other.Length = 0 then
            bytes
        else
            Array.append bytes[.. chance.Below bytes.Length - 1] other[chance.Below other.Length ..]

    let private one (chance: Chance) (other: byte[]) (bytes: byte[]) : byte[] =
        if bytes.Length = 0 then
            token chance bytes
        else
            match chance.Below 12 with
            | 0
            | 1 -> flip chance bytes
            | 2 -> run chance bytes
            | 3 -> truncate chance bytes
            | 4 -> delete chance bytes
            | 5 -> repeat chance bytes
            | 6
            | 7 -> number chance bytes
            | 8 -> varint chance bytes
            | 9 -> numeral chance bytes
            | 10 -> token chance bytes
            | _ -> splice chance bytes other

    /// Bytes spoiled in one to four ways; `other` is a second good file, for splices.
    let bytes (chance: Chance) (other: byte[]) (good: byte[]) : byte[] =
        let times = chance.Pick [| 1; 1; 1; 2; 2; 3; 4 |]
        Seq.fold (fun spoiled _ -> one chance other spoiled) good (seq { 1..times })
