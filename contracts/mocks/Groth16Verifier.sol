// SPDX-License-Identifier: GPL-3.0
/*
    Copyright 2021 0KIMS association.

    This file is generated with [snarkJS](https://github.com/iden3/snarkjs).

    snarkJS is a free software: you can redistribute it and/or modify it
    under the terms of the GNU General Public License as published by
    the Free Software Foundation, either version 3 of the License, or
    (at your option) any later version.

    snarkJS is distributed in the hope that it will be useful, but WITHOUT
    ANY WARRANTY; without even the implied warranty of MERCHANTABILITY
    or FITNESS FOR A PARTICULAR PURPOSE. See the GNU General Public
    License for more details.

    You should have received a copy of the GNU General Public License
    along with snarkJS. If not, see <https://www.gnu.org/licenses/>.
*/

pragma solidity >=0.7.0 <0.9.0;

contract Groth16Verifier {
    // Scalar field size
    uint256 constant r    = 21888242871839275222246405745257275088548364400416034343698204186575808495617;
    // Base field size
    uint256 constant q   = 21888242871839275222246405745257275088696311157297823662689037894645226208583;

    // Verification Key data
    uint256 constant alphax  = 14251512161100779626136521144018056720768532267005051504007260883914093228747;
    uint256 constant alphay  = 10390627977976401171962547805732189269000702980921182604855702104982565652887;
    uint256 constant betax1  = 21449652213769029718212170609534645206847773988508592602301689624495929570421;
    uint256 constant betax2  = 838382590805678231331485174266040184058686094392701327400275492306226819888;
    uint256 constant betay1  = 11335028051129826277642488482592837548296736295114750321861243625540578943135;
    uint256 constant betay2  = 15361913048996749207034779351447461524966722475903429612164850552706860690087;
    uint256 constant gammax1 = 11559732032986387107991004021392285783925812861821192530917403151452391805634;
    uint256 constant gammax2 = 10857046999023057135944570762232829481370756359578518086990519993285655852781;
    uint256 constant gammay1 = 4082367875863433681332203403145435568316851327593401208105741076214120093531;
    uint256 constant gammay2 = 8495653923123431417604973247489272438418190587263600148770280649306958101930;
    uint256 constant deltax1 = 11721393535962131805797684830845659708440209448158899304214682972349350572177;
    uint256 constant deltax2 = 21075281677964426062305134402065361725236611188003541381298218280740503907065;
    uint256 constant deltay1 = 14409330060245499388936804803520705154322762134744321766440316217291102056423;
    uint256 constant deltay2 = 21835305385436704101179828844738704868020142019125838564620839457955204835407;

    uint256 constant IC0x = 12889430407713727915521872230991601846554078664635178744478442864579373396776;
    uint256 constant IC0y = 11504809255607405009451890762078805897012584214237171699704954567137758096851;

    uint256 constant IC1x = 12383746507688974847952280555637714093183326307103663691437079525346930234578;
    uint256 constant IC1y = 11344487820999305611455199787377558513453092476462831377336822641503890128628;

    uint256 constant IC2x = 6955447959427175121003539857944481130580596244461266528382904832920137503113;
    uint256 constant IC2y = 4818039697870237438464925706183553567531050982531501532461220219124359771895;

    uint256 constant IC3x = 8910488883091348492767417236424509516043411226351122691905877773725162317438;
    uint256 constant IC3y = 3920456281320401249742866579273188347512816555458768784370734908766444981700;

    uint256 constant IC4x = 10984965879167069663782463023050720125512054751097019990589045196834395557970;
    uint256 constant IC4y = 18773181457468186091181669390994324908487661256752406024131848843061044959390;

    uint256 constant IC5x = 18035714768854656453411070643004536123663422240881047402883881868534212966932;
    uint256 constant IC5y = 16783587447198577321916030912112852210262308672975282708731643527730545514801;

    uint256 constant IC6x = 4147521777729664121698861854183791341261529309258442129587434199929609513720;
    uint256 constant IC6y = 976704391427590231237056421006297107414789879666534536003466092136831679735;

    uint256 constant IC7x = 12587411036257580311315573368041093921582443761561557622923852331384611536256;
    uint256 constant IC7y = 8405567710077536204606128252225049105537346309353460391756671694399549574063;

    uint256 constant IC8x = 1735956433123288751034360119740289933604014058701230916713478840207691338692;
    uint256 constant IC8y = 518546766362796416081765478998515519517613636653769475754580377488690333365;

    uint256 constant IC9x = 7171166214820207258433287006474327006613565566200008666598638315831164415867;
    uint256 constant IC9y = 3132764650814219267381762475728862146652797432371598096617373788029667301057;

    uint256 constant IC10x = 10168527047209037266527212020827499733002652015666163383221465174857764691491;
    uint256 constant IC10y = 21053488090980580657917436479578716232610964265478402990561043676684777740445;

    uint256 constant IC11x = 4430255263842215391080098913033007219376740340511745139200509236239188442727;
    uint256 constant IC11y = 4311187913291230607978192794369888918415610108731383590848914600635173254020;

    uint256 constant IC12x = 19879585572870817562026566464082294126730882021974860564357349038097374565404;
    uint256 constant IC12y = 3020406141684753241739936468199235968967259387265280749195610040516208326139;

    uint256 constant IC13x = 8601440053697638225180361747603283401594215415641955104899798330253392627066;
    uint256 constant IC13y = 8934471054893171116098437932948110526220576187700171854682646565580682242062;

    uint256 constant IC14x = 11639847194527505017425659735465299769073063579614740771118597925668626449274;
    uint256 constant IC14y = 9728324835809759323328445976983762123753600963829196121847428996397370878316;

    uint256 constant IC15x = 13264520319573240052869453392853184369906010155759574510517606991061599841875;
    uint256 constant IC15y = 19682377934066660407852690160754692426076691817122288527040730845835176841164;

    uint256 constant IC16x = 13446893176837483113219407167189960798310508434161523968498082788006368309600;
    uint256 constant IC16y = 8574724876799869346098812274618833889014225506665895122728433926619579340999;

    uint256 constant IC17x = 5623135464696563764936018616128473706677603371462346420377150718355356183058;
    uint256 constant IC17y = 7540345842321405970144551751203134783209520539021910904949092507113456481208;

    uint256 constant IC18x = 19775095192675080735450826843922304519652851098850443105609409103853629518987;
    uint256 constant IC18y = 15097481277310742421383858053268845172563948715969085620957377061224109030199;

    uint256 constant IC19x = 6696817226613640103152224074588349105258662884714129838877633842147154007183;
    uint256 constant IC19y = 20678775348231375568737883610734836438269318709889143706160908908973028453815;

    uint256 constant IC20x = 13410792372349333106836658265258743329102866945234360166095183341184801047254;
    uint256 constant IC20y = 7062681974632084812620412072145907732340562898292871620370656508791696185681;

    uint256 constant IC21x = 16224372053515543345055802847834808952392411816424665621294655224724673072200;
    uint256 constant IC21y = 6700934684943168322402622143308596472802824405474166015935771247066036565312;

    uint256 constant IC22x = 9335913036185278463646424435029466426334083349973994216960290740994702094118;
    uint256 constant IC22y = 3749192539087954999309029348478092905221307261697257819734305433953045365340;

    uint256 constant IC23x = 5243995379088893025184954490173803072445446324736027670908031365227543545111;
    uint256 constant IC23y = 15641233503355254859505219004766489718387949807210531803618448421326159089907;

    uint256 constant IC24x = 20854825681872211046249614825646713460040935057072890417204912284080226543838;
    uint256 constant IC24y = 1334708278657108873636531098592804833126119572427926339594154425161953989946;

    uint256 constant IC25x = 14632097529015950956147917390353263377941157834235981794184177122162842324452;
    uint256 constant IC25y = 127287706961731857377505277682862640528542643798456174195401467873979203813;

    // Memory data
    uint16 constant pVk = 0;
    uint16 constant pPairing = 128;

    uint16 constant pLastMem = 896;

    function verifyProof(uint[2] calldata _pA, uint[2][2] calldata _pB, uint[2] calldata _pC, uint[25] calldata _pubSignals) public view returns (bool) {
        assembly {
            function checkField(v) {
                if iszero(lt(v, r)) {
                    mstore(0, 0)
                    return(0, 0x20)
                }
            }

            // G1 function to multiply a G1 value(x,y) to value in an address
            function g1_mulAccC(pR, x, y, s) {
                let success
                let mIn := mload(0x40)
                mstore(mIn, x)
                mstore(add(mIn, 32), y)
                mstore(add(mIn, 64), s)

                success := staticcall(sub(gas(), 2000), 7, mIn, 96, mIn, 64)

                if iszero(success) {
                    mstore(0, 0)
                    return(0, 0x20)
                }

                mstore(add(mIn, 64), mload(pR))
                mstore(add(mIn, 96), mload(add(pR, 32)))

                success := staticcall(sub(gas(), 2000), 6, mIn, 128, pR, 64)

                if iszero(success) {
                    mstore(0, 0)
                    return(0, 0x20)
                }
            }

            function checkPairing(pA, pB, pC, pubSignals, pMem) -> isOk {
                let _pPairing := add(pMem, pPairing)
                let _pVk := add(pMem, pVk)

                mstore(_pVk, IC0x)
                mstore(add(_pVk, 32), IC0y)

                // Compute the linear combination vk_x

                g1_mulAccC(_pVk, IC1x, IC1y, calldataload(add(pubSignals, 0)))

                g1_mulAccC(_pVk, IC2x, IC2y, calldataload(add(pubSignals, 32)))

                g1_mulAccC(_pVk, IC3x, IC3y, calldataload(add(pubSignals, 64)))

                g1_mulAccC(_pVk, IC4x, IC4y, calldataload(add(pubSignals, 96)))

                g1_mulAccC(_pVk, IC5x, IC5y, calldataload(add(pubSignals, 128)))

                g1_mulAccC(_pVk, IC6x, IC6y, calldataload(add(pubSignals, 160)))

                g1_mulAccC(_pVk, IC7x, IC7y, calldataload(add(pubSignals, 192)))

                g1_mulAccC(_pVk, IC8x, IC8y, calldataload(add(pubSignals, 224)))

                g1_mulAccC(_pVk, IC9x, IC9y, calldataload(add(pubSignals, 256)))

                g1_mulAccC(_pVk, IC10x, IC10y, calldataload(add(pubSignals, 288)))

                g1_mulAccC(_pVk, IC11x, IC11y, calldataload(add(pubSignals, 320)))

                g1_mulAccC(_pVk, IC12x, IC12y, calldataload(add(pubSignals, 352)))

                g1_mulAccC(_pVk, IC13x, IC13y, calldataload(add(pubSignals, 384)))

                g1_mulAccC(_pVk, IC14x, IC14y, calldataload(add(pubSignals, 416)))

                g1_mulAccC(_pVk, IC15x, IC15y, calldataload(add(pubSignals, 448)))

                g1_mulAccC(_pVk, IC16x, IC16y, calldataload(add(pubSignals, 480)))

                g1_mulAccC(_pVk, IC17x, IC17y, calldataload(add(pubSignals, 512)))

                g1_mulAccC(_pVk, IC18x, IC18y, calldataload(add(pubSignals, 544)))

                g1_mulAccC(_pVk, IC19x, IC19y, calldataload(add(pubSignals, 576)))

                g1_mulAccC(_pVk, IC20x, IC20y, calldataload(add(pubSignals, 608)))

                g1_mulAccC(_pVk, IC21x, IC21y, calldataload(add(pubSignals, 640)))

                g1_mulAccC(_pVk, IC22x, IC22y, calldataload(add(pubSignals, 672)))

                g1_mulAccC(_pVk, IC23x, IC23y, calldataload(add(pubSignals, 704)))

                g1_mulAccC(_pVk, IC24x, IC24y, calldataload(add(pubSignals, 736)))

                g1_mulAccC(_pVk, IC25x, IC25y, calldataload(add(pubSignals, 768)))

                // -A
                mstore(_pPairing, calldataload(pA))
                mstore(add(_pPairing, 32), mod(sub(q, calldataload(add(pA, 32))), q))

                // B
                mstore(add(_pPairing, 64), calldataload(pB))
                mstore(add(_pPairing, 96), calldataload(add(pB, 32)))
                mstore(add(_pPairing, 128), calldataload(add(pB, 64)))
                mstore(add(_pPairing, 160), calldataload(add(pB, 96)))

                // alpha1
                mstore(add(_pPairing, 192), alphax)
                mstore(add(_pPairing, 224), alphay)

                // beta2
                mstore(add(_pPairing, 256), betax1)
                mstore(add(_pPairing, 288), betax2)
                mstore(add(_pPairing, 320), betay1)
                mstore(add(_pPairing, 352), betay2)

                // vk_x
                mstore(add(_pPairing, 384), mload(add(pMem, pVk)))
                mstore(add(_pPairing, 416), mload(add(pMem, add(pVk, 32))))

                // gamma2
                mstore(add(_pPairing, 448), gammax1)
                mstore(add(_pPairing, 480), gammax2)
                mstore(add(_pPairing, 512), gammay1)
                mstore(add(_pPairing, 544), gammay2)

                // C
                mstore(add(_pPairing, 576), calldataload(pC))
                mstore(add(_pPairing, 608), calldataload(add(pC, 32)))

                // delta2
                mstore(add(_pPairing, 640), deltax1)
                mstore(add(_pPairing, 672), deltax2)
                mstore(add(_pPairing, 704), deltay1)
                mstore(add(_pPairing, 736), deltay2)

                let success := staticcall(sub(gas(), 2000), 8, _pPairing, 768, _pPairing, 0x20)

                isOk := and(success, mload(_pPairing))
            }

            let pMem := mload(0x40)
            mstore(0x40, add(pMem, pLastMem))

            // Validate that all evaluations ∈ F

            checkField(calldataload(add(_pubSignals, 0)))

            checkField(calldataload(add(_pubSignals, 32)))

            checkField(calldataload(add(_pubSignals, 64)))

            checkField(calldataload(add(_pubSignals, 96)))

            checkField(calldataload(add(_pubSignals, 128)))

            checkField(calldataload(add(_pubSignals, 160)))

            checkField(calldataload(add(_pubSignals, 192)))

            checkField(calldataload(add(_pubSignals, 224)))

            checkField(calldataload(add(_pubSignals, 256)))

            checkField(calldataload(add(_pubSignals, 288)))

            checkField(calldataload(add(_pubSignals, 320)))

            checkField(calldataload(add(_pubSignals, 352)))

            checkField(calldataload(add(_pubSignals, 384)))

            checkField(calldataload(add(_pubSignals, 416)))

            checkField(calldataload(add(_pubSignals, 448)))

            checkField(calldataload(add(_pubSignals, 480)))

            checkField(calldataload(add(_pubSignals, 512)))

            checkField(calldataload(add(_pubSignals, 544)))

            checkField(calldataload(add(_pubSignals, 576)))

            checkField(calldataload(add(_pubSignals, 608)))

            checkField(calldataload(add(_pubSignals, 640)))

            checkField(calldataload(add(_pubSignals, 672)))

            checkField(calldataload(add(_pubSignals, 704)))

            checkField(calldataload(add(_pubSignals, 736)))

            checkField(calldataload(add(_pubSignals, 768)))

            // Validate all evaluations
            let isValid := checkPairing(_pA, _pB, _pC, _pubSignals, pMem)

            mstore(0, isValid)
             return(0, 0x20)
         }
     }
 }
