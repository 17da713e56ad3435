% WAKE: BOTTOM-UP PASS
wakehidprobs = logistic(data*vishid + hidrecbiases);
wakehidstates = wakehidprobs > rand(1, numhid);
wakepenprobs = logistic(wakehidstates*hidpen + penrecbiases);
wakepenstates = wakepenprobs > rand(1, numpen);
waketopprobs = logistic(wakepenstates*pentop + targets*labtop + topbiases);
waketopstates = waketopprobs > rand(1, numtop);
% POSITIVE PHASE STATISTICS
poslabtopstatistics = targets' * waketopstates;
pospentopstatistics = wakepenstates' * waketopstates;
% GIBBS SAMPLING IN THE TOP LEVEL ASSOCIATIVE MEMORY
negtopstates = waketopstates;
for iter = 1:numCDiters
  negpenprobs = logistic(negtopstates*pentop' + pengenbiases);
  negpenstates = negpenprobs > rand(1, numpen);
  neglabprobs = softmax(negtopstates*labtop' + labgenbiases);
  negtopprobs = logistic(negpenstates*pentop + neglabprobs*labtop + topbiases);
  negtopstates = negtopprobs > rand(1, numtop);
end;
% NEGATIVE PHASE STATISTICS
negpentopstatistics = negpenstates' * negtopstates;
neglabtopstatistics = neglabprobs' * negtopstates;
% SLEEP: TOP-DOWN GENERATIVE PASS
sleeppenstates = negpenstates;
sleephidprobs = logistic(sleeppenstates*penhid + hidgenbiases);
sleephidstates = sleephidprobs > rand(1, numhid);
sleepvisprobs = logistic(sleephidstates*hidvis + visgenbiases);
% PREDICTIONS
psleeppenstates = logistic(sleephidstates*hidpen + penrecbiases);
psleephidstates = logistic(sleepvisprobs*vishid + hidrecbiases);
pvisprobs = logistic(wakehidstates*hidvis + visgenbiases);
phidprobs = logistic(wakepenstates*penhid + hidgenbiases);
% UPDATES TO GENERATIVE PARAMETERS
hidvis = hidvis + r*wakehidstates' * (data - pvisprobs);
visgenbiases = visgenbiases + r*(data - pvisprobs);
penhid = penhid + r*wakepenstates' * (wakehidstates - phidprobs);
hidgenbiases = hidgenbiases + r*(wakehidstates - phidprobs);
% UPDATES TO TOP LEVEL ASSOCIATIVE MEMORY PARAMETERS
labtop = labtop + r*(poslabtopstatistics - neglabtopstatistics);
labgenbiases = labgenbiases + r*(targets - neglabprobs);
pentop = pentop + r*(pospentopstatistics - negpentopstatistics);
pengenbiases = pengenbiases + r*(wakepenstates - negpenstates);
topbiases = topbiases + r*(waketopstates - negtopstates);
% UPDATES TO RECOGNITION PARAMETERS
hidpen = hidpen + r*sleephidstates' * (sleeppenstates - psleeppenstates);
penrecbiases = penrecbiases + r*(sleeppenstates - psleeppenstates);
vishid = vishid + r*sleepvisprobs' * (sleephidstates - psleephidstates);
hidrecbiases = hidrecbiases + r*(sleephidstates - psleephidstates);
