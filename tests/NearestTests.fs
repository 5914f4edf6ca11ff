module Peft.Tests.NearestTests

open Expecto
open Peft

[<Tests>]
let tests =
    testList
        "Nearest"
        [
            testProperty "a word is at no distance from itself only, and the way back is as long"
            <| fun (a: string) (b: string) ->
                let a, b = string a, string b

                Nearest.distance a b = Nearest.distance b a
                && ((Nearest.distance a b = 0) = (a = b))

            testCase "letters are taken out and put in"
            <| fun () ->
                Expect.equal (Nearest.distance "w_o" "wo") 1 "one out"
                Expect.equal (Nearest.distance "wi" "wo") 2 "one out, one in"
                Expect.equal (Nearest.distance "" "abc") 3 "three in"

            testCase "in a pattern * and ? cost nothing"
            <| fun () ->
                Expect.equal (Nearest.patternDistance "*.wo" "encoder.wo") 0 "any text"
                Expect.equal (Nearest.patternDistance "*.w_o" "encoder.wo") 1 "one letter off"
                Expect.isTrue (Nearest.fits "dec*q" "decoder.q") "fits"
                Expect.isFalse (Nearest.fits "dec*q" "decoder.q.weight") "to the end"
                Expect.isFalse (Nearest.fits "a.b" "axb") "a point is a point"
                Expect.equal (Nearest.patternDistance "wi_?" "wi_1") 0 "any letter"

            testCase "only what is about as near as the nearest is asked"
            <| fun () ->
                Expect.equal (Nearest.among 3 [ "o"; "wo"; "wi_0"; "all" ] "w_o") [ "wo"; "o" ] "wo, then o"
                Expect.isEmpty (Nearest.among 3 [ "q"; "k" ] "encoder") "nothing is near"
                Expect.equal (Nearest.question [ "q"; "k" ] "encoder") "there are q, k" "then all are told"

                Expect.equal
                    (List.map Nearest.orList [ [ "a" ]; [ "a"; "b" ]; [ "a"; "b"; "c" ] ])
                    [ "a"; "a or b"; "a, b or c" ]
                    "or"
        ]
